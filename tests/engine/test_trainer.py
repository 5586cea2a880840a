"""The training loop: limits, clocks, evaluation, early stopping, feeds that react to the method."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import mulde.engine
from mulde.engine import Clock, Method, OptimizerSpec, Trainer, load_weights
from mulde.engine.checkpoint import weights_of
from tests.engine.toys import Batch, Follower, Peers, ReactiveFeed, ShuffledFeed, mean_squared_error

ADAM = OptimizerSpec("adam", lr=0.05)


def scripted(*values: float) -> Any:
    """An evaluation that returns these numbers, one per call."""
    left = iter(values)
    return lambda method, clock: {"valid/mrr": next(left), "valid/other": 1.0}


def test_golden_numbers() -> None:
    """First ten losses of a fixed method in float64; they change with any change of order, seed or clock."""
    method, losses = Peers().double(), []
    feed = ShuffledFeed()
    feed.inputs, feed.targets = feed.inputs.double(), feed.targets.double()
    original = method.losses

    def recording(batch: Any, clock: Clock) -> Any:
        found = original(batch, clock)
        losses.append(sum(value.item() for value in found.values()))
        return found

    method.losses = recording  # type: ignore[method-assign]
    Trainer(optimizers=ADAM, max_grad_norm=1.0).fit(method, feed, steps=10)
    assert losses == pytest.approx(GOLDEN, rel=1e-9)


GOLDEN = [
    12.674120195684397,
    9.58104548227621,
    11.134091600259461,
    11.981535069402296,
    13.424006549371018,
    5.849366852789135,
    6.3772509704386975,
    9.162895272777385,
    3.6325380622696883,
    7.840561714494576,
]


def test_clock_seen_by_the_method(tmp_path: Path) -> None:
    method, seen = Follower(), []
    method.after_update = lambda clock: seen.append(clock)  # type: ignore[method-assign]
    evaluated: list[Clock] = []

    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        evaluated.append(clock)
        return {}

    Trainer().fit(method, ShuffledFeed(), epochs=2, evaluate=evaluate)
    assert [clock.step for clock in seen] == list(range(8))
    assert [clock.epoch for clock in seen] == [0] * 4 + [1] * 4
    assert [clock.progress for clock in seen] == [step / 8 for step in range(8)]
    assert evaluated == [Clock(4, 1, 2, 0.5), Clock(8, 2, 2, 1.0)]


def test_evaluation_is_in_eval_mode_without_gradients_and_without_influence() -> None:
    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        assert not method.training
        assert not torch.is_grad_enabled()
        return {"valid/noise": torch.rand(()).item()}

    evaluated, plain = Follower(dropout=0.5), Follower(dropout=0.5)
    Trainer().fit(evaluated, ShuffledFeed(), epochs=3, evaluate=evaluate)
    Trainer().fit(plain, ShuffledFeed(), epochs=3)
    assert torch.equal(evaluated.student.weight, plain.student.weight)


def test_best_weights_are_the_final_ones(tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        seen.append(weights_of(method))
        return {"valid/mrr": [0.1, 0.5, 0.3, 0.2][len(seen) - 1]}

    method = Follower()
    trainer = Trainer(folder=tmp_path, optimizers=ADAM)
    record = trainer.fit(
        method,
        ShuffledFeed(),
        epochs=20,
        evaluate=evaluate,
        name="x",
        select=("valid/mrr", "max"),
        patience=2,
    )
    assert (record.stopped_by, record.epochs, record.steps) == ("patience", 4, 16)
    assert (record.best_epoch, record.best_metrics, record.metrics) == (
        2,
        {"valid/mrr": 0.5},
        {"valid/mrr": 0.2},
    )
    assert not method.training
    for weights in (weights_of(method), load_weights(tmp_path / "x/final.safetensors")):
        assert all(torch.equal(weights[key], seen[1][key]) for key in seen[1])
    assert not torch.equal(seen[1]["student.weight"], seen[3]["student.weight"])


def test_evaluation_every_few_epochs_and_at_the_end() -> None:
    evaluated: list[int] = []

    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        evaluated.append(clock.epoch)
        return {"valid/mrr": 1.0 / clock.epoch}

    Trainer().fit(Peers(), ShuffledFeed(), epochs=7, evaluate=evaluate, eval_every=3, select=("valid/mrr", "min"))
    assert evaluated == [3, 6, 7]


def test_steps_end_in_the_middle_of_an_epoch() -> None:
    record = Trainer().fit(Peers(), ShuffledFeed(), steps=6, evaluate=mean_squared_error)
    assert (record.stopped_by, record.steps, record.epochs) == ("steps", 6, 1)
    assert record.metrics.keys() == {"valid/error"}


def test_budget_stops_cleanly(tmp_path: Path) -> None:
    class Slow(ShuffledFeed):
        def __iter__(self) -> Iterator[Batch]:
            for batch in super().__iter__():
                time.sleep(0.02)
                yield batch

    record = Trainer(folder=tmp_path).fit(
        Peers(), Slow(), epochs=1000, evaluate=mean_squared_error, name="x", budget_seconds=0.1
    )
    assert record.stopped_by == "budget"
    assert 1 <= record.steps <= 5
    assert record.finished
    assert record.metrics
    assert json.loads((tmp_path / "x/record.json").read_text())["stopped_by"] == "budget"


def test_a_reactive_feed_ends_when_the_learner_is_good_enough() -> None:
    method = Follower()
    feed = ReactiveFeed(method.student, repetitions=1000)
    record = Trainer(optimizers=ADAM).fit(method, feed, epochs=1)
    assert record.steps < 1000
    assert feed.evaluations == record.steps + 5  # one per update, and a last one for each batch


def test_unlimited_feeds_are_fitted_with_steps() -> None:
    class Endless(ShuffledFeed):
        def __iter__(self) -> Iterator[Batch]:
            while True:
                yield from super().__iter__()

        __len__ = None  # type: ignore[assignment]

    clocks: list[Clock] = []
    method = Peers()
    method.after_update = clocks.append  # type: ignore[method-assign]
    assert Trainer().fit(method, Endless(), steps=10).steps == 10
    assert clocks[-1] == Clock(9, 0, None, 0.9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "fit needs exactly one of epochs and steps; got epochs=None, steps=None"),
        ({"epochs": 1, "steps": 2}, "fit needs exactly one of epochs and steps; got epochs=1, steps=2"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"steps": 3, "eval_every": 0}, "eval_every must be at least 1; got 0"),
        (
            {"epochs": 1, "select": ("valid/mrr", "max")},
            'select names the metric "valid/mrr", but there is no evaluate to compute it',
        ),
        (
            {"epochs": 1, "select": ("valid/mrr", "up"), "evaluate": mean_squared_error},
            "select is (metric, \"max\" or \"min\"); got ('valid/mrr', 'up')",
        ),
        (
            {"epochs": 1, "patience": 3, "evaluate": mean_squared_error},
            'patience needs a metric to watch; give select=("valid/mrr", "max") or another one',
        ),
        (
            {"epochs": 1, "select": ("valid/mrr", "max"), "evaluate": mean_squared_error},
            'select: no metric called "valid/mrr"; evaluate returned valid/error',
        ),
        (
            {"epochs": 1, "select": ("valid/mrr", "max"), "evaluate": scripted(float("nan"))},
            'evaluate returned nan for "valid/mrr" after epoch 1',
        ),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Trainer().fit(Peers(), ShuffledFeed(), **arguments)
    assert str(refusal.value) == sentence


def test_an_exhausted_feed_is_refused() -> None:
    with pytest.raises(ValueError, match="the feed delivered no batch in epoch 2; it is empty, or an iterator"):
        Trainer().fit(Peers(), iter(ShuffledFeed()), epochs=3)


def test_a_reactive_feed_may_deliver_nothing_unless_steps_are_required() -> None:
    method = Follower()
    feed = ReactiveFeed(method.student, repetitions=0)
    record = Trainer().fit(method, feed, epochs=2)
    assert (record.steps, record.epochs, record.stopped_by) == (0, 2, "epochs")
    with pytest.raises(ValueError, match="the feed delivers nothing more after 0 of 3 steps; give fewer steps"):
        Trainer().fit(method, feed, steps=3)


def test_progress_bar_is_optional(capsys: pytest.CaptureFixture[str]) -> None:
    Trainer().fit(Peers(), ShuffledFeed(), epochs=1, name="quiet")
    assert capsys.readouterr().err == ""
    Trainer(progress=True).fit(Peers(), ShuffledFeed(), epochs=1, name="loud")
    assert "loud" in capsys.readouterr().err


def test_the_engine_is_independent_of_its_users() -> None:
    """No word of one field; of the package only errors and files are imported."""
    for path in Path(mulde.engine.__file__).parent.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "teacher" not in source.lower(), path.name
        assert "triple" not in source.lower(), path.name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mulde"):
                assert node.module.startswith(("mulde.engine.", "mulde.errors", "mulde.files", "mulde.differences")), (
                    node.module
                )
