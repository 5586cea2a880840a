"""Nations: political relations between 14 countries; included in PyKEEN."""

from kge_data.published.record import PublishedSet

RECORD = PublishedSet(
    name="nations",
    folder="nations",
    entities=14,
    relations=55,
    train=1_592,
    valid=199,
    test=201,
    checksum="sha256:7a1bedaf79fd9aefeee4eb2d081d5313ead2b369feb4e5527948b654c713bd68",
    citation="Rummel, The dimensionality of nations project, 1976; splits as in PyKEEN",
    licence="distributed with PyKEEN (MIT)",
    package=("pykeen", "datasets/nations"),
)
