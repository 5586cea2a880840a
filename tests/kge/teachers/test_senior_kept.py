"""The Senior after a distillation: its attention in the log, its gates in the run folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mulde.engine import Clock
from mulde.errors import UsageError
from mulde.kge.methods.mulde import Config, MulDE
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.ensemble import Ensemble, Renumbered
from mulde.kge.teachers.senior import SENIOR, Senior, SeniorRanker, open_senior, save_senior
from mulde.kge.training import stage
from mulde.kge.training.method_file import open_method
from tests.kge import toys

SHAPE = {"dim": 4, "top_k": 6, "epochs": 3, "eval_every": 1, "batch_size": 30, "negatives": 3}


def distilled(folder: Path, method: str = "mulde", **changes: object) -> stage.Outcome:
    graph = toys.toy_graph()
    teachers = [toys.model(graph, RotH, 8, seed=1), toys.model(graph, RefH, 6, seed=2)]
    config = toys.options(open_method(method).Config, **SHAPE | changes)
    return stage.distil("rote", teachers, graph, config, folder, method=method, bar=False)


def test_the_log_has_the_attention_after_every_evaluation(tmp_path: Path) -> None:
    distilled(tmp_path, tau_epochs=1)
    lines = [json.loads(line) for line in (tmp_path / "fit/log.jsonl").read_text().splitlines()]
    weights = [[line["attention/0"], line["attention/1"]] for line in lines]
    assert len(weights) == 3
    assert all(sum(pair) == pytest.approx(1) for pair in weights)
    assert abs(weights[-1][0] - 0.5) < abs(weights[0][0] - 0.5)  # τ grows, so the weights become alike


def test_no_attention_no_lines(tmp_path: Path) -> None:
    distilled(tmp_path, method="average")
    assert "attention" not in (tmp_path / "fit/log.jsonl").read_text()
    assert not (tmp_path / SENIOR).exists() and open_senior(tmp_path) is None


@pytest.mark.parametrize("reverse", [False, True])
def test_the_attention_is_the_one_in_the_blend(reverse: bool) -> None:
    """The weighted sum of gated scores equals the Senior's output in `losses`."""
    graph = toys.toy_graph()
    method = MulDE(toys.model(graph), toys.ensemble(graph), toys.options(Config, top_k=5, attention_reverse=reverse))
    batch, clock = toys.batch(graph), Clock(step=9, epoch=5, epochs=10, progress=0.5)
    candidates = method.config.querying.candidates(method.junior, batch)
    own = method.junior.score(batch.heads, batch.relations, candidates)
    opinions = method.ensemble.score(batch.heads, batch.relations, candidates)
    weights = method.attention(batch.heads, batch.relations, clock)
    blended = (weights.T.unsqueeze(-1) * method.senior.scaled(opinions, batch.relations)).sum(0)
    torch.testing.assert_close(blended, method.senior(opinions, own, batch.relations, method.tau(clock)))
    assert weights.shape == (20, 4)


def test_looking_does_not_change_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = distilled(tmp_path / "looked").model.state_dict()
    monkeypatch.setattr(MulDE, "diagnostics", lambda *_: {})
    blind = distilled(tmp_path / "blind").model.state_dict()
    assert all(torch.equal(value, blind[name]) for name, value in looked.items())


def test_the_gates_come_back_with_their_teachers(tmp_path: Path) -> None:
    outcome = distilled(tmp_path, lr=0.1)
    senior = outcome.networks["senior"]
    assert isinstance(senior, SeniorRanker)
    found = open_senior(tmp_path)
    assert found is not None
    teachers, gates = found
    assert teachers == ("RotH 8", "RefH 6")
    assert torch.equal(gates, senior.senior.weights.detach().sigmoid())
    assert gates.std() > 0


def test_a_teacher_of_another_kind_is_called_by_its_class() -> None:
    assert Ensemble([torch.nn.Linear(2, 2)]).names == ("Linear",)


def test_teachers_alike_are_distinguished_and_a_renumbered_one_keeps_its_name() -> None:
    graph = toys.toy_graph()
    first, second = (toys.model(graph, RotH, 8, seed=seed) for seed in (1, 2))
    renumbered = Renumbered(second, torch.arange(graph.num_entities), torch.arange(graph.num_relations))
    assert Ensemble([first, renumbered, torch.nn.Linear(2, 2)]).names == ("RotH 8", "RotH 8 (2)", "Linear")


def test_the_same_gates_are_the_same_bytes(tmp_path: Path) -> None:
    written = set()
    for _ in range(10):
        save_senior(tmp_path, Senior(3, 2), ["a", "b"])
        written.add((tmp_path / SENIOR).read_bytes())
    assert len(written) == 1


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    save_senior(tmp_path, Senior(3, 2), ["a", "b"])
    content = (tmp_path / SENIOR).read_bytes()
    (tmp_path / SENIOR).write_bytes(content[:20])
    with pytest.raises(UsageError, match=r"senior.safetensors: expected the gates of a Senior, but .* damaged; remove"):
        open_senior(tmp_path)
    save_senior(tmp_path, Senior(3, 2), ["a"])
    with pytest.raises(UsageError, match=r"expected one column for each of 1 teachers, found shape \(6, 2\)"):
        open_senior(tmp_path)
