"""CoDEx-S: a small subset of Wikidata; every entity occurs in train."""

from kge_data.published.record import Download, PublishedSet

CODEX = "https://raw.githubusercontent.com/tsafavi/codex/3132e426c2a6b643b70bad679905a3a6270be440/data"
TRIPLES = f"{CODEX}/triples/codex-s"

RECORD = PublishedSet(
    name="codex-s",
    folder="CoDEx-S",
    entities=2_034,
    relations=42,
    train=32_888,
    valid=1_827,
    test=1_828,
    checksum="sha256:d0b9a8ef7883f39c36bbe21060d462e4d52cd3a16cd879a68ddfc3d29ff78e77",
    citation="Safavi and Koutra, CoDEx: a comprehensive knowledge graph completion benchmark, EMNLP 2020",
    licence="MIT (repository); Wikidata, CC0",
    mirrors=(
        (
            Download(f"{TRIPLES}/train.txt", "64f93b7f314f3936a6f65739721429db3f6a7c8f5a1e1104ec3bb544f7434f59"),
            Download(f"{TRIPLES}/valid.txt", "3831c0e57daef03c3a18cdd1a72e370b496f696c5218883d35c7d2ab8a6a772c"),
            Download(f"{TRIPLES}/test.txt", "27127fcb34688c4778e88a39ef3c9b540807da846021e9d9685660ac1838aca1"),
        ),
    ),
    texts=(
        Download(
            f"{CODEX}/relations/en/relations.json",
            "2b467fab26430a0500e5fe82cdb9b3c4fbcfda01827ff3bfa833dc5470ad92f7",
            name="relations_en.json",
        ),
    ),
)
