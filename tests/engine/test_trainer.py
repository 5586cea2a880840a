"""The loop: limits, clocks, evaluation, early stopping, conversations."""

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
from tests.engine.toys import Batch, Conversation, Follower, Peers, ShuffledFeed, mean_squared_error

ADAM = OptimizerSpec("adam", lr=0.05)


def scripted(*values: float) -> Any:
    """An evaluation that answers with these numbers, one per call."""
    left = iter(values)
    return lambda method, clock: {"valid/mrr": next(left), "valid/other": 1.0}


def test_golden_numbers() -> None:
    """First ten losses of a fixed method, float64: any change of order, seed or clock shows here."""
    method, losses = Peers().double(), []
    feed = ShuffledFeed()
    feed.inputs, feed.targets = feed.inputs.double(), feed.targets.double()
    asked = method.losses

    def noting(batch: Any, clock: Clock) -> Any:
        found = asked(batch, clock)
        losses.append(sum(value.item() for value in found.values()))
        return found

    method.losses = noting  # type: ignore[method-assign]
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
    judged: list[Clock] = []

    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        judged.append(clock)
        return {}

    Trainer().fit(method, ShuffledFeed(), epochs=2, evaluate=evaluate)
    assert [clock.step for clock in seen] == list(range(8))
    assert [clock.epoch for clock in seen] == [0] * 4 + [1] * 4
    assert [clock.progress for clock in seen] == [step / 8 for step in range(8)]
    assert judged == [Clock(4, 1, 2, 0.5), Clock(8, 2, 2, 1.0)]


def test_evaluation_is_in_eval_mode_without_gradients_and_without_influence() -> None:
    def curious(method: Method, clock: Clock) -> dict[str, float]:
        assert not method.training
        assert not torch.is_grad_enabled()
        return {"valid/noise": torch.rand(()).item()}

    judged, alone = Follower(dropout=0.5), Follower(dropout=0.5)
    Trainer().fit(judged, ShuffledFeed(), epochs=3, evaluate=curious)
    Trainer().fit(alone, ShuffledFeed(), epochs=3)
    assert torch.equal(judged.student.weight, alone.student.weight)


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


def test_every_and_the_last_evaluation() -> None:
    judged: list[int] = []

    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        judged.append(clock.epoch)
        return {"valid/mrr": 1.0 / clock.epoch}

    Trainer().fit(Peers(), ShuffledFeed(), epochs=7, evaluate=evaluate, eval_every=3, select=("valid/mrr", "min"))
    assert judged == [3, 6, 7]


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


def test_a_conversation_ends_when_the_learner_is_good_enough() -> None:
    method = Follower()
    feed = Conversation(method.student, repetitions=1000)
    record = Trainer(optimizers=ADAM).fit(method, feed, epochs=1)
    assert record.steps < 1000
    assert feed.asked == record.steps + 5  # one look per update, and one that was content for each batch


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


def test_a_conversation_may_be_over_but_not_before_its_steps() -> None:
    method = Follower()
    feed = Conversation(method.student, repetitions=0)
    record = Trainer().fit(method, feed, epochs=2)
    assert (record.steps, record.epochs, record.stopped_by) == (0, 2, "epochs")
    with pytest.raises(ValueError, match="the feed delivers nothing more after 0 of 3 steps; ask for fewer"):
        Trainer().fit(method, feed, steps=3)


def test_progress_bar_only_where_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    Trainer().fit(Peers(), ShuffledFeed(), epochs=1, name="quiet")
    assert capsys.readouterr().err == ""
    Trainer(progress=True).fit(Peers(), ShuffledFeed(), epochs=1, name="loud")
    assert "loud" in capsys.readouterr().err


def test_the_engine_knows_nothing_of_its_users() -> None:
    """No word of one field, and no import from the rest of the package but errors and files."""
    for path in Path(mulde.engine.__file__).parent.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "teacher" not in source.lower(), path.name
        assert "triple" not in source.lower(), path.name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mulde"):
                assert node.module.startswith(("mulde.engine.", "mulde.errors", "mulde.files")), node.module
