"""What a checkpoint has seen of a graph's test triples."""

from __future__ import annotations

from pathlib import Path

import pytest

from kge_data import from_triples, load
from mulde.files import sha256_of
from mulde.ultra import pretraining as module
from mulde.ultra.pretraining import pretraining, shared

GRAPH = from_triples(
    [("a", "r", "b"), ("b", "s", "c")], [("a", "r", "c")], [("c", "r", "a"), ("b", "r", "a"), ("c", "s", "a")]
)


def test_shared_triples_are_found_by_name() -> None:
    other = from_triples([("x", "q", "b"), ("b", "r", "a"), ("c", "t", "a"), ("a", "r", "c")], [("x", "q", "a")], [])
    named = dict(zip([tuple(each) for each in GRAPH.test.tolist()], shared(GRAPH, other).tolist(), strict=True))
    found = [(GRAPH.entities[h], GRAPH.relations[r], GRAPH.entities[t]) for (h, r, t), it in named.items() if it]
    assert found == [("b", "r", "a")]


def test_public_checkpoints_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "any.pth"
    path.write_bytes(b"tensors")
    assert str(pretraining(path, GRAPH)).startswith("this checkpoint is not a public one; ")
    (tmp_path / "CoDEx-M").mkdir()
    (tmp_path / "CoDEx-M/train.txt").write_text("b\tr\ta\nc\ts\ta\nx\ty\tz\n")
    for split in ("valid", "test"):
        (tmp_path / f"CoDEx-M/{split}.txt").write_text("x\ty\tx\n")
    monkeypatch.setenv("KGE_DATA_HOME", str(tmp_path))
    graphs = ("umls", "WN18RR", "CoDEx-M")
    monkeypatch.setattr(module, "CHECKPOINTS", {sha256_of(path): ("ultra_3g", graphs)})
    monkeypatch.setattr(module, "load", lambda name, **_: load("umls") if str(name) == "umls" else missing(name))
    found = pretraining(path, load("umls"))
    assert found.seen["umls"] == 0 and "WN18RR" in found.unchecked
    assert "; of the 661 test triples here: 0 in that of umls; " in str(found)
    assert "WN18RR is not on this machine and was not checked" in str(found)
    monkeypatch.setattr(module, "load", lambda name, **_: missing(name) if str(name) in graphs else load(name))
    assert pretraining(path, GRAPH).seen == {"CoDEx-M": 2}
    monkeypatch.setattr(module, "CHECKPOINTS", {sha256_of(path): ("ultra_50g", ())})
    assert "50 graphs that are not listed with it" in str(pretraining(path, GRAPH))


def missing(name: object) -> None:
    raise module.DataError(f"{name} is not here")
