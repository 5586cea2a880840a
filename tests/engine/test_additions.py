"""Mechanisms that work with every method: averages, schedules, update rules, stops, counts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.engine import (
    Callback,
    Clock,
    EpochEnd,
    LossDrivenRate,
    Method,
    OptimizerSpec,
    Record,
    ScheduledNumbers,
    SharpnessAware,
    Trainer,
    Update,
    WeightAverage,
    constant,
    cyclical,
    linear,
)
from mulde.engine.learning import Learner
from mulde.errors import UsageError
from tests.engine.test_resume import Stopped, results, stopping
from tests.engine.toys import Batch, Follower, Normalised, Peers, ShuffledFeed, mean_squared_error

SGD = OptimizerSpec("sgd", lr=0.1)


class Watched(Callback):
    """Notes what happens."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.weights: list[list[Tensor]] = []

    def begin(self, method: Any, learners: Any, feed: Any) -> None:
        self.method, self.learners, self.feed = method, learners, feed

    def after_update(self, clock: Clock) -> None:
        self.weights.append([parameter.detach().clone() for parameter in self.method.parameters()])

    def after_epoch(self, end: EpochEnd) -> None:
        self.seen.append(("epoch", end.clock.epoch, dict(end.metrics), len(list(end.batches()))))

    def after_evaluation(self, end: EpochEnd) -> None:
        self.seen.append(("evaluation", end.clock.epoch, set(end.metrics), set(end.losses)))


class Leaving(Normalised):
    """Asks to stop after its third pass."""

    def after_epoch(self, end: EpochEnd) -> None:
        if end.clock.epoch == 3:
            end.stop("it is good enough")


ADDITIONS: dict[str, dict[str, Any]] = {
    "swa": {"callbacks": [WeightAverage("swa", every=2)]},
    "ema": {"callbacks": [WeightAverage("ema", momentum=0.5, begin_at=0.2)]},
    "loss": {"callbacks": [LossDrivenRate(0.5, difference=10, relative=1e9)]},
    "numbers": {
        "callbacks": [
            ScheduledNumbers(
                {
                    "optimizer.weight_decay": cyclical(0.0, 1.0),
                    "optimizer.lr": cyclical(0.1, 1.0, whole_epochs=True),
                    "method.student.2.p": linear(0.0, 0.5),
                    "feed.batch_size": linear(4, 16),
                    "max_grad_norm": constant(0.5),
                }
            )
        ]
    },
    "sharpness": {"rule": SharpnessAware(0.1)},
    "accumulate": {"accumulate": 3, "max_grad_value": 0.1},
}


def fit(
    additions: dict[str, Any], method: Method, folder: Path | None = None, feed: Any = None, **options: Any
) -> Record:
    trainer = Trainer(folder=folder, optimizers=SGD, checkpoint_every=0, log_every=3, **additions)
    options = {"epochs": 4, "evaluate": mean_squared_error, "select": ("valid/error", "min"), **options}
    return trainer.fit(method, feed or ShuffledFeed(), name="x", **options)


@pytest.mark.parametrize("name", ADDITIONS)
def test_resume_is_exact(tmp_path: Path, name: str) -> None:
    whole = fit(ADDITIONS[name], Normalised(), tmp_path / "whole")
    plain = fit({}, Normalised(), tmp_path / "plain")
    assert whole.metrics != plain.metrics, "it has no effect"
    for step in (1, 4, whole.steps - 2):  # in the first pass, at the end of one, late
        with pytest.raises(Stopped):
            fit(ADDITIONS[name], stopping((Normalised(), None), step)[0], tmp_path / f"cut-{step}")
        torch.manual_seed(99)
        fit(ADDITIONS[name], Normalised(), tmp_path / f"cut-{step}")
        assert results(tmp_path / f"cut-{step}") == results(tmp_path / "whole")


def test_settings_are_compared(tmp_path: Path) -> None:
    fit(ADDITIONS["swa"], Normalised(), tmp_path)
    with pytest.raises(UsageError, match=r"callbacks\.0\.every: was 2, is 3"):
        fit({"callbacks": [WeightAverage("swa", every=3)]}, Normalised(), tmp_path)


def test_an_average_is_the_mean_of_the_weights_and_is_kept() -> None:
    watched, method, plain = Watched(), Normalised(), Normalised()
    record = fit({"callbacks": [WeightAverage(every=3), watched]}, method, epochs=3, select=None)
    steps = [weights for number, weights in enumerate(watched.weights, 1) if number % 3 == 0]
    assert len(steps) == 4
    for parameter, *snapshots in zip(method.parameters(), *steps, strict=True):
        assert torch.allclose(parameter, torch.stack(snapshots).mean(0), atol=1e-6)
    feed = ShuffledFeed()  # batch normalisation has the statistics of these weights: the mean over the batches
    inputs = method.student[0](feed.inputs)
    assert torch.allclose(method.student[1].running_mean, inputs.mean(0), atol=1e-6)
    fit({}, plain, epochs=3, select=None)
    last = watched.weights[-1]
    assert all(torch.equal(one, two) for one, two in zip(last, plain.parameters(), strict=True)), (
        "it changed the training"
    )
    assert record.metrics["valid/error"] == mean_squared_error(method, Clock(0, 0, 1, 1.0))["valid/error"]
    assert record.metrics["current/valid/error"] == mean_squared_error(plain, Clock(0, 0, 1, 1.0))["valid/error"]


def test_a_moving_average_and_its_beginning() -> None:
    watched, method = Watched(), Follower()
    fit({"callbacks": [WeightAverage("ema", momentum=0.75, begin_at=0.5), watched]}, method, epochs=2, select=None)
    expected = watched.weights[4][0]  # 8 updates; half of the training has passed before the fifth
    for weights in watched.weights[5:]:
        expected = 0.75 * expected + 0.25 * weights[0]
    assert torch.allclose(method.student.weight, expected, atol=1e-6)


class Quadratic(Method):
    """w A w / 2 in two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, -1.0]))

    def learners(self) -> dict[str, Any]:
        return {"w": [self.w]}

    def losses(self, batch: Tensor, clock: Clock) -> dict[str, Tensor]:
        return {"w/energy": batch @ self.w.square() / 2}

    def predict(self, batch: Any) -> Tensor:
        return self.w


def test_sharpness_aware_steps() -> None:
    method, scale = Quadratic(), torch.tensor([2.0, 8.0])
    record = fit({"rule": SharpnessAware(0.5)}, method, None, [scale], epochs=1, evaluate=None, select=None)
    w = torch.tensor([3.0, -1.0])
    up = w + 0.5 * scale * w / (scale * w).norm()
    assert torch.allclose(method.w, w - 0.1 * scale * up)
    assert (record.cost["losses"], record.cost["backwards"]) == (2, 2)


def test_batch_statistics_are_those_of_the_first_pass_of_sharpness() -> None:
    sharp, plain, batches = Normalised(), Normalised(), [next(iter(ShuffledFeed()))]
    for method, rule in ((sharp, SharpnessAware()), (plain, None)):
        fit({"rule": rule}, method, None, batches, epochs=1, evaluate=None, select=None)
    assert torch.equal(sharp.student[1].running_mean, plain.student[1].running_mean)
    assert int(sharp.student[1].num_batches_tracked) == 1


def test_accumulated_gradients_are_those_of_a_large_batch() -> None:
    feed, small, large = ShuffledFeed(), Follower(), Follower()
    batches = [Batch(feed.inputs[rows], feed.targets[rows]) for rows in torch.arange(32).split(8)]
    record = fit({"accumulate": 4}, small, None, batches, epochs=2, evaluate=None, select=None)
    fit({}, large, None, [Batch(feed.inputs, feed.targets)], epochs=2, evaluate=None, select=None)
    assert torch.allclose(small.student.weight, large.student.weight, atol=1e-6)
    assert (record.steps, record.cost["backwards"], record.cost["forwards"]["student"]) == (2, 8, 8)
    fit({"accumulate": 3}, small, None, batches, epochs=1, evaluate=None, select=None)  # the last update has one batch


def test_gradients_are_clipped_by_value() -> None:
    method = Quadratic()
    fit({"max_grad_value": {"w": 7.0}}, method, None, [torch.tensor([2.0, 8.0])], epochs=1, evaluate=None, select=None)
    assert torch.allclose(method.w, torch.tensor([3.0 - 0.6, -1.0 + 0.7]))


def after_epochs(callback: LossDrivenRate, losses: list[float]) -> tuple[list[float], list[str]]:
    stops: list[str] = []
    learner = Learner("a", [], torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0))
    callback.begin(Quadratic(), {"a": learner}, [])
    rates = []
    for number, loss in enumerate(losses, 1):
        callback.after_epoch(EpochEnd(Clock(0, number, 9, 0.0), {"a/hard": loss}, {}, lambda: iter(()), stops.append))
        rates.append(learner.rate_factors["loss"])
    return rates, stops


def test_a_rate_that_the_loss_drives() -> None:
    losses = [2.0, 1.0, 0.99, 0.985, 0.9849, 1.5]
    rates, stops = after_epochs(LossDrivenRate(factor=0.5, least=0.2), losses)
    assert rates == [1.0, 1.0, 0.5, 0.25, 0.125, 0.125]
    assert stops == ["learning rate", "learning rate"]  # asked for after the fifth and the sixth pass
    assert after_epochs(LossDrivenRate(0.9), losses)[1] == []


def test_a_stop_asked_for_by_the_method() -> None:
    record = fit({}, Leaving(), epochs=9)
    assert (record.stopped_by, record.epochs) == ("it is good enough", 3)
    assert record.metrics  # the last weights are evaluated


def test_hooks_in_order_and_a_look_at_the_data() -> None:
    watched, method, plain = Watched(), Follower(dropout=0.3), Follower(dropout=0.3)
    fit({"callbacks": [watched]}, method, epochs=2, select=None)
    terms = {"student/hard", "student/soft"}
    assert watched.seen[0] == ("epoch", 1, {}, 4)
    assert watched.seen[1] == ("evaluation", 1, {"valid/error"}, terms)
    assert [what for what, *_ in watched.seen] == ["epoch", "evaluation"] * 2
    assert watched.seen[2][2].keys() == {"valid/error"}
    fit({}, plain, epochs=2, select=None)
    assert torch.equal(method.student.weight, plain.student.weight), "looking at the data changed the training"


def test_cycles() -> None:
    def values(factor: float, epochs: int = 11) -> list[float]:
        cycle = cyclical(1.0, 3.0, factor, whole_epochs=True)
        return [cycle(Clock(0, epoch, epochs, 0.0)) for epoch in range(epochs)]

    assert values(2) == pytest.approx([1, 1.4, 1.8, 2.2, 2.6, 3, 2.6, 2.2, 1.8, 1.4, 1])
    assert values(4)[2:4] == pytest.approx([2.6, 3 - 2 / 15]) and values(4)[0] == values(4)[-1] == 1
    assert values(1)[-1] == 3
    assert max(values(2.5, 8)) <= 3
    assert cyclical(1.0, 3.0)(Clock(0, 0, None, 0.5)) == 3
    with pytest.raises(UsageError, match="the factor of a cycle is at least 1"):
        cyclical(0, 1, factor=0.5)


def test_scheduled_numbers_reach_their_places() -> None:
    seen: list[tuple[float, ...]] = []

    class Noting(Watched):
        def after_update(self, clock: Clock) -> None:
            learner = self.learners["student"]
            group = learner.optimizer.param_groups[0]
            place = (group["lr"], group["weight_decay"], learner.max_grad_norm)
            seen.append((*place, self.method.student[2].p, self.feed.batch_size))

    method, feed = Normalised(), ShuffledFeed()
    callbacks = [*ADDITIONS["numbers"]["callbacks"], Noting()]
    fit({"callbacks": callbacks}, method, None, feed, epochs=2, select=None)
    assert seen[0] == pytest.approx((0.1 * 0.1, 0.0, 0.5, 0.0, 4))
    assert [values[-1] for values in seen] == [4] * 8 + [10] * 4
    assert seen[-1][0] == pytest.approx(0.1 * 0.1) and seen[8][1] == 1.0  # the second of two passes; the middle
    assert method.student[2].p == 0.3 and feed.batch_size == 8, "the caller's objects keep the numbers they had"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("temperature", 'no number called "temperature"; write optimizer.FIELD, max_grad_norm, max_grad_value, method'),
        ("optimizer.weight", 'the optimizer has no number "weight"; it has lr, momentum, weight_decay'),
        ("method.student.9.p", '"method.student.9.p": the Sequential has no attribute "9"; numbers of it: none'),
        ("method.student.2.q", '"method.student.2.q": the Dropout has no attribute "q"; numbers of it: p'),
        ("method.student", '"method.student" is a Sequential; a schedule needs a number'),
    ],
)
def test_wrong_numbers_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        fit({"callbacks": [ScheduledNumbers({name: constant(1.0)})]}, Normalised())
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: WeightAverage("sum"), 'no average called "sum"; choose swa or ema'),  # type: ignore[arg-type]
        (lambda: WeightAverage(every=0), "every must be at least 1 update; got 0"),
        (lambda: WeightAverage(begin_at=1), "begin_at is a fraction of the training, in [0, 1); got 1"),
        (lambda: WeightAverage(momentum=2), "momentum is a fraction between 0 and 1; got 2"),
        (lambda: SharpnessAware(0), "the radius of SAM must be above 0; got 0"),
        (lambda: LossDrivenRate(1.5), "factor is a fraction above 0 and below 1; got 1.5"),
        (lambda: Trainer(accumulate=0), "accumulate must be at least 1 batch; got 0"),
    ],
)
def test_wrong_options_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        make()
    assert str(refusal.value) == sentence


class Twice(Peers):
    """Makes two steps where others make one."""

    def update(self, update: Update) -> None:
        for _ in range(2):
            update.forget_gradients()
            update.differentiate(update.losses(update.batches[0]))
            update.apply()


def test_a_method_makes_its_own_update() -> None:
    feed, twice, plain = [next(iter(ShuffledFeed()))], Twice(), Peers()
    record = fit({}, twice, None, feed, epochs=1, evaluate=None, select=None)
    fit({}, plain, None, feed, epochs=2, evaluate=None, select=None)
    assert torch.equal(twice.a.weight, plain.a.weight)
    assert (record.steps, record.cost["backwards"]) == (1, 2)
    with pytest.raises(UsageError, match="Twice makes its updates in a way of its own, so the update rule Sharpness"):
        fit({"rule": SharpnessAware()}, Twice())


def test_counts_without_evaluations() -> None:
    record = fit({}, Follower(), epochs=2)
    assert record.cost == {
        "losses": 8,
        "backwards": 8,
        "samples": 64,
        "forwards": {"dropout": 8, "student": 8, "guide": 8},
        "forward_samples": {"dropout": 64, "student": 64, "guide": 64},
    }
    assert math.isfinite(record.seconds)


class Penalty(Callback):
    """A loss of its own, the square of a learner's bias."""

    def __init__(self, name: str = "student/penalty") -> None:
        self.name = name

    def begin(self, method: Any, learners: Any, feed: Any) -> None:
        self.bias = method.student.bias

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        return {self.name: 100 * self.bias.square().sum()}


def test_losses_of_a_callback_are_added() -> None:
    method, plain = Follower(), Follower()
    adam = OptimizerSpec(lr=0.05)
    for one, callbacks in ((method, [Penalty()]), (plain, [])):
        Trainer(optimizers=adam, callbacks=callbacks).fit(one, ShuffledFeed(), epochs=20)
    assert method.student.bias.abs() < 1e-2 and (plain.student.bias - method.student.bias).abs() > 0.01
    with pytest.raises(UsageError, match='"student/hard" of Penalty is the name of another loss'):
        fit({"callbacks": [Penalty("student/hard")]}, Follower())


class Tempered(Method):
    """Cross entropy of fixed logits divided by a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.logits, self.temperature = nn.Parameter(torch.tensor([[1.0, -0.5, 2.0]])), 1.0

    def learners(self) -> dict[str, Any]:
        return {"student": [self.logits]}

    def losses(self, batch: Tensor, clock: Clock) -> dict[str, Tensor]:
        return {"student/hard": nn.functional.cross_entropy(self.logits / self.temperature, batch)}

    def predict(self, batch: Any) -> Tensor:
        return self.logits


def test_the_norm_of_the_gradient_under_a_cycle_of_the_temperature() -> None:
    """It is |softmax(z / T) - y| / T at fixed weights z (Smith 2022)."""
    norms: list[float] = []

    class Noting(Watched):
        def after_update(self, clock: Clock) -> None:
            norms.append(self.method.logits.grad.norm().item())

    cycle = ScheduledNumbers({"method.temperature": cyclical(0.5, 2.0, whole_epochs=True)})
    still = OptimizerSpec("sgd", lr=1e-9)
    Trainer(optimizers=still, callbacks=[cycle, Noting()]).fit(Tempered(), [torch.tensor([1])], epochs=11)
    temperatures = [2 - 1.5 * abs(epoch - 5) / 5 for epoch in range(11)]
    z, y = np.array([1.0, -0.5, 2.0]), np.array([0.0, 1.0, 0.0])
    powers = [np.exp(z / t) for t in temperatures]
    expected = [np.linalg.norm(e / e.sum() - y) / t for e, t in zip(powers, temperatures, strict=True)]
    assert norms == pytest.approx(expected, rel=1e-5) and norms[5] == min(norms)
