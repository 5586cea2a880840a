"""Kinships: kinship terms among 104 Alyawarra people; included in PyKEEN."""

from kge_data.published.record import PublishedSet

RECORD = PublishedSet(
    name="kinships",
    folder="kinships",
    entities=104,
    relations=25,
    train=8_544,
    valid=1_068,
    test=1_074,
    checksum="sha256:87b591764c1a1d3a9a2d1d326525b4a726b80ee7aef0c3034bdca8de8c30b7ae",
    citation="Kemp et al., Learning systems of concepts with an infinite relational model, AAAI 2006",
    licence="distributed with PyKEEN (MIT)",
    package=("pykeen", "datasets/kinships"),
)
