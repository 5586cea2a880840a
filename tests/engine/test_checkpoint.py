"""The folder of a fit: reuse, refused changes, files."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mulde.engine import ConfigurationChanged, Method, OptimizerSpec, Record, Trainer
from mulde.errors import MissingExtra, UsageError
from tests.engine.toys import Follower, Peers, ShuffledFeed, mean_squared_error

ADAM = OptimizerSpec("adam", lr=0.05)


def test_finished_fits_are_reused(tmp_path: Path) -> None:
    trainer = Trainer(folder=tmp_path, optimizers=ADAM, config={"dim": 32, "data": Path("x")})
    first, again = Follower(), Follower()
    record = trainer.fit(first, ShuffledFeed(), epochs=3, name="x")
    calls: list[Any] = []
    again.after_update = calls.append  # type: ignore[method-assign]
    reused = trainer.fit(again, ShuffledFeed(), epochs=3, name="x")
    assert not calls
    assert (record.reused, reused.reused) == (False, True)
    assert (reused.steps, reused.seconds, reused.stopped_by) == (record.steps, record.seconds, "epochs")
    assert torch.equal(first.student.weight, again.student.weight)
    assert torch.equal(first.average.weight, again.average.weight)
    assert not again.training


def test_final_weights_belong_to_the_record(tmp_path: Path) -> None:
    def fit(folder: str, seed: int = 0) -> Record:
        trainer = Trainer(folder=tmp_path / folder, optimizers=ADAM, seed=seed)
        return trainer.fit(Follower(), ShuffledFeed(), epochs=1, name="x")

    fit("one"), fit("other", seed=1)
    final, record = tmp_path / "one/x/final.safetensors", tmp_path / "one/x/record.json"
    final.write_bytes((tmp_path / "other/x/final.safetensors").read_bytes())
    with pytest.raises(
        UsageError, match=r"final\.safetensors: expected the weights of record\.json, found others; put"
    ):
        fit("one")
    final.unlink()
    with pytest.raises(UsageError, match=r"final\.safetensors: expected the weights of record\.json, found none; put"):
        fit("one")
    for content, reason in (("[1]", "it holds a list"), ("{}", "missing 1 required positional argument")):
        record.write_text(content)
        with pytest.raises(UsageError, match=reason):
            fit("one")


def test_what_follows_does_not_depend_on_reuse(tmp_path: Path) -> None:
    draws = []
    for _ in range(2):
        torch.manual_seed(1)
        Trainer(folder=tmp_path).fit(Peers(), ShuffledFeed(), epochs=1, name="x")
        draws.append(torch.rand(3))
        torch.manual_seed(1)
    assert torch.equal(*draws)


def test_a_changed_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    def fit(config: dict[str, Any], method: Method | None = None, epochs: int = 1, lr: float = 0.05) -> Record:
        trainer = Trainer(folder=tmp_path, config=config, optimizers=OptimizerSpec(lr=lr))
        return trainer.fit(method or Follower(), ShuffledFeed(), epochs=epochs, name="x")

    old = {"model": {"dim": 32, "name": "a"}, "gone": 1}
    fit(old)
    with pytest.raises(ConfigurationChanged) as refusal:
        fit({"model": {"dim": 64, "name": "a"}, "new": [1]}, epochs=2, lr=0.1)
    assert str(refusal.value) == (
        f"{tmp_path / 'x'} was started with another configuration; "
        "choose another name, remove the folder, or go back to the old values:\n"
        "  config.model.dim: was 32, is 64\n"
        "  config.gone: was 1, is absent\n"
        "  config.new: was absent, is [1]\n"
        "  fit.epochs: was 1, is 2\n"
        "  optimizers.lr: was 0.05, is 0.1"
    )
    wide = Follower()
    wide.student = torch.nn.Linear(5, 1)
    with pytest.raises(ConfigurationChanged, match=r'student.weight: was "\[1, 3\] torch.float32", is "\[1, 5\] torch'):
        fit(old, wide)
    other_guide = Follower()
    with torch.no_grad():
        other_guide.guide.bias.add_(1)
    with pytest.raises(ConfigurationChanged, match=r"frozen\.guide: was"):
        fit(old, other_guide)
    assert fit(old).reused


def test_a_factory_is_compared_by_its_name(tmp_path: Path) -> None:
    for reused in (False, True):  # two objects, whose addresses differ
        factory = functools.partial(torch.optim.Adam, lr=0.1)
        trainer = Trainer(folder=tmp_path, optimizers=factory)
        assert trainer.fit(Peers(), ShuffledFeed(), epochs=1, name="x").reused == reused


def test_files_of_a_finished_fit(tmp_path: Path) -> None:
    Trainer(folder=tmp_path, config={"data_checksum": "abc"}, seed=5, log_every=3, max_grad_norm=1.0).fit(
        Peers(),
        ShuffledFeed(),
        epochs=2,
        evaluate=mean_squared_error,
        name="x",
        select=("valid/error", "min"),
    )
    names = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert names == ["best.safetensors", "config.json", "final.safetensors", "log.jsonl", "record.json"]
    config = json.loads((tmp_path / "x/config.json").read_text())
    assert (config["config"], config["seed"]) == ({"data_checksum": "abc"}, 5)
    environment = {"date", "started", "versions", "processor", "device", "threads", "processes", "seed"}
    assert environment <= config["environment"].keys()
    lines = [json.loads(line) for line in (tmp_path / "x/log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(3, 1), (4, 1), (6, 2), (8, 2)]
    assert all(line.keys() >= {"a/hard", "b/peer", "grad_norm/a", "lr/a", "lr/b", "seconds"} for line in lines)
    assert ["valid/error" in line for line in lines] == [False, True, False, True]


def test_no_files_without_a_name(tmp_path: Path) -> None:
    assert Trainer(folder=tmp_path).fit(Peers(), ShuffledFeed(), epochs=1, name=None).finished
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Trainer(folder=tmp_path, tensorboard=True).fit(Peers(), ShuffledFeed(), epochs=2, name="x")
    events = accumulator.EventAccumulator(str(tmp_path / "x"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "x/log.jsonl").read_text().splitlines()]
    assert [event.value for event in events.Scalars("a/hard")] == pytest.approx([line["a/hard"] for line in lines])


def test_a_larger_budget_continues_the_fit(tmp_path: Path) -> None:
    """To the same weights as without a budget. Without a larger budget it is reused."""
    whole, stopped, continued = Follower(), Follower(), Follower()
    Trainer(folder=tmp_path / "whole", optimizers=ADAM).fit(whole, ShuffledFeed(), epochs=3, name="x")
    trainer = Trainer(folder=tmp_path / "cut", optimizers=ADAM)
    record = trainer.fit(stopped, ShuffledFeed(), epochs=3, name="x", budget_seconds=1e-9)
    assert (record.stopped_by, record.epochs) == ("budget", 0)
    assert trainer.fit(Follower(), ShuffledFeed(), epochs=3, name="x", budget_seconds=1e-9).reused
    record = trainer.fit(continued, ShuffledFeed(), epochs=3, name="x")
    assert (record.stopped_by, record.reused) == ("epochs", False)
    assert torch.equal(whole.student.weight, continued.student.weight)
    assert not torch.equal(whole.student.weight, stopped.student.weight)
    assert not list((tmp_path / "cut/x").glob("checkpoint*"))


def test_missing_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtra) as error:
        Trainer(folder=tmp_path, tensorboard=True).fit(Peers(), ShuffledFeed(), epochs=1, name="x")
    assert (
        str(error.value) == "event files are written by tensorboard; install it with `pip install mulde[tensorboard]`"
    )
