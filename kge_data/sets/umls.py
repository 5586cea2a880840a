"""UMLS: relations between types of biomedical concepts; included in PyKEEN."""

from kge_data.published.record import PublishedSet

RECORD = PublishedSet(
    name="umls",
    folder="umls",
    entities=135,
    relations=46,
    train=5_216,
    valid=652,
    test=661,
    checksum="sha256:d05f1c8990bbed69e8018a75d9383ca72c222cf8302637b863b4678553f5112a",
    citation="McCray, An upper-level ontology for the biomedical domain, 2003; splits as in PyKEEN",
    licence="distributed with PyKEEN (MIT)",
    package=("pykeen", "datasets/umls"),
)
