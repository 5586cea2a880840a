"""ULTRA on the command line and in Python: a baseline before training, and a teacher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import kge_data
import mulde
from mulde.kge.evaluation import added_source
from mulde.kge.storage.run_folder import open_model
from mulde.ultra.teacher import open_baseline
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


def test_added_to_a_model(
    command: Command, checkpoint: str, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum's figures are those of plain loops, its weight is kept, and predictions are ranked by it."""
    run = tmp_path / "run"
    monkeypatch.setattr("mulde.cli._added.WEIGHTS", (0.5, 1.0))
    assert command("train", "roth", *SMALL[2:], "--data", graph, "--out", run).code == 0
    output = command("evaluate", run, "--add", checkpoint, "--json")
    assert output.code == 0, output.err
    report = json.loads(output.out)
    triples, model = kge_data.load(str(graph)), open_model(run)
    ultra = open_baseline(Path(checkpoint.removeprefix("ultra:")), triples, "test")
    weight = report["weights"]["embeddings_only"]
    known = {tuple(it) for part in ("train", "valid", "test") for it in getattr(triples, part).tolist()}
    reciprocal = []
    for head, relation, tail in triples.test.tolist():
        for query, answer, others in (
            ((head, 2 * relation), tail, {t for h, r, t in known if (h, r) == (head, relation)}),
            ((tail, 2 * relation + 1), head, {h for h, r, t in known if (r, t) == (relation, tail)}),
        ):
            each = [torch.tensor([part]) for part in query]
            own, other = model.score_all(*each)[0], ultra.score_all(*each)[0]
            scores = own.log_softmax(0) + weight * other.log_softmax(0)
            rivals = [scores[it] for it in range(len(scores)) if it not in others]
            better = sum(bool(it > scores[answer]) for it in rivals)
            reciprocal.append(1 / (1 + better + sum(bool(it == scores[answer]) for it in rivals) / 2))
    row = next(it for it in report["rows"] if it["scores"].startswith("model +") and "embeddings" in it["scores"])
    assert row["MRR"] == pytest.approx(sum(reciprocal) / len(reciprocal), abs=1e-6)
    assert json.loads((run / added_source.FILE).read_text())["weights"] == report["weights"]
    query = ["predict", run, "--head", "e1", "--relation", "next", "--embeddings-only", "--json"]
    found = json.loads(command(*query, "--add", checkpoint, "--top", "20").out)["answers"]
    each = [torch.tensor([triples.entity_id("e1")]), torch.tensor([2 * triples.relation_id("next")])]
    scores = model.score_all(*each)[0].log_softmax(0) + weight * ultra.score_all(*each)[0].log_softmax(0)
    best = [triples.entities[int(it)] for it in scores.argsort(descending=True, stable=True)]
    assert [it["identifier"] for it in found][:5] == best[:5]
    for words, message in (
        (
            ["predict", run, "--head", "e1", "--tail", "e2", "--add", checkpoint],
            "--add is for predicting heads and tails",
        ),
        (["evaluate", run, "--add", "roth"], "expected ultra:PATH"),
        (["evaluate", run, "--add", checkpoint, "--protocol", "no-self"], "leave out --protocol and --task"),
        (["evaluate", checkpoint, "--data", graph, "--add", checkpoint], "has no model that --add could be added to"),
    ):
        output = command(*words)
        assert output.code == 2 and message in output.err
