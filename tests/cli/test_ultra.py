"""ULTRA on the command line and in Python: a baseline before training, and a teacher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mulde
from tests.cli.conftest import SMALL, Command
from tests.ultra.checkpoints import save


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random checkpoint, as the option takes it."""
    return f"ultra:{save(tmp_path_factory.mktemp('ultra') / 'random.pth', dim=4, depth=2)}"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small graph: relations meet each other less often than in the bundled ones, which takes time."""
    folder = tmp_path_factory.mktemp("data") / "ring"
    folder.mkdir()
    for split, begin, end in (("train", 0, 40), ("valid", 40, 50), ("test", 50, 60)):
        lines = [f"e{i % 20}\t{'next' if i % 3 else 'near'}\te{(i % 20 + 1 + i // 20) % 20}" for i in range(begin, end)]
        (folder / f"{split}.txt").write_text("\n".join(lines))
    return folder


def test_a_baseline(command: Command, checkpoint: str, graph: Path) -> None:
    words = ["evaluate", checkpoint, "--data", graph, "--threads", "1"]
    output = command(*words)
    lines = output.out.splitlines()
    assert output.code == 0 and lines[0] == "ULTRA (random.pth), 369 parameters, not trained on ring"
    assert lines[1] == f"ring (--data {graph}), test split, filtered, both directions: 20 ranks"
    assert lines[-1].startswith("pre-training: this checkpoint is not a public one; ")
    report = json.loads(command(*words, "--sample", "6", "--json").out)
    assert report["triples"] == 6 and not report["graph_prior"] and report["pretraining"]
    found = mulde.evaluate(checkpoint, graph, sample=6)
    assert found.metrics()["mrr"] == report["realistic"]["mrr"]
    assert mulde.evaluate(checkpoint, graph, "train", sample=6).metrics()["mrr"] > 0


def test_a_teacher(command: Command, checkpoint: str, graph: Path, tmp_path: Path) -> None:
    words = [
        "distil",
        *SMALL[2:],
        "--data",
        graph,
        "--teacher",
        checkpoint,
        "--method",
        "offline",
        "--top-k",
        "5",
        "--curvature",
        "global",
    ]
    output = command(*words, "--teacher-queries", "20", "--extra-queries", "10", "--out", tmp_path / "a", "--json")
    assert output.code == 0 and "teacher predictions for 30 queries, 5 each" in output.err
    assert "mulde: this checkpoint is not a public one; " in output.err
    model = mulde.distil("roth", checkpoint, graph, dim=4, epochs=1, top_k=5)
    assert (model.config.dim, model.num_entities) == (4, 20)


def test_what_is_missing(command: Command, checkpoint: str) -> None:
    complaints = {
        ("evaluate", checkpoint): f"expected a graph for {checkpoint}; got none; give its name or path with --data",
        ("evaluate", checkpoint, "--data=umls", "--task=classification"): "ULTRA has no probabilities, which "
        "classification needs; leave out --task",
        ("evaluate", "ultra:nothing", "--data=umls"): "nothing: expected a checkpoint of ULTRA, found no such file; "
        "give the path of ultra_3g.pth",
        ("distil", "--data=umls", "--teacher=ultra:nothing"): "nothing: expected a checkpoint of ULTRA, found no such "
        "file; give the path of ultra_3g.pth",
    }
    for words, complaint in complaints.items():
        output = command(*words)
        assert (output.code, output.err) == (2, f"mulde: {complaint}\n")
