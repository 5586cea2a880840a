"""An average of the weights at a high constant learning rate: better than its parts, and with statistics of its own."""

from __future__ import annotations

import statistics
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from mulde.engine import Callback, Clock, OptimizerSpec, Trainer, WeightAverage, weight_average
from mulde.vision.data.digits import digits
from mulde.vision.data.images import Split
from mulde.vision.data.splitting import split
from mulde.vision.methods.supervised import Supervised
from mulde.vision.models import Adapted
from mulde.vision.training.feeds import ImageFeed

EVERY = 5


@cache
def data() -> Split[Any]:
    return split(digits(), 0).standardised()


def made(seed: int, layers: int, normalised: bool) -> Supervised:
    torch.manual_seed(seed)
    parts: list[nn.Module] = [nn.Flatten()]
    for width in (64, 32, 32)[:layers]:
        parts += [nn.Linear(width, 32), nn.BatchNorm1d(32) if normalised else nn.Identity(), nn.ReLU()]
    return Supervised(Adapted(nn.Sequential(*parts, nn.Linear(32, 10))))


@torch.no_grad()
def nll(method: Supervised) -> float:
    test, mode = data().test, method.training
    method.eval()
    found = functional.cross_entropy(method.network(test.images).logits, test.labels).item()
    method.train(mode)
    return found


class Snapshots(Callback):
    """Test NLL of the weights that are averaged."""

    def begin(self, method: Any, learners: Any, feed: Any) -> None:
        self.method, self.found = method, list[float]()

    def after_update(self, clock: Clock) -> None:
        if clock.progress >= 0.4 and (clock.step + 1) % EVERY == 0:
            self.found.append(nll(self.method))


def trained(seed: int, layers: int = 1, normalised: bool = True) -> tuple[float, list[float]]:
    """NLL of the average, and of its parts, of which the last are the last weights."""
    method, snapshots = made(seed, layers, normalised), Snapshots()
    average = WeightAverage("swa", every=EVERY, begin_at=0.4)
    rate = OptimizerSpec("sgd", lr=0.3, momentum=0.9)
    feed = ImageFeed(data().train[torch.arange(200)], 20, seed=seed)
    Trainer(optimizers=rate, callbacks=[average, snapshots], progress=False).fit(method, feed, epochs=10, name=None)
    return nll(method), snapshots.found


@pytest.mark.parametrize("normalised", [False, True], ids=["plain", "normalised"])
def test_better_than_its_parts_with_every_seed(normalised: bool) -> None:
    for seed in range(5):
        average, parts = trained(seed, normalised=normalised)
        assert len(parts) == 12
        assert average < statistics.mean(parts) and average < parts[-1]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_average_needs_statistics_of_its_own(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    average, _ = trained(seed, layers=3)
    monkeypatch.setattr(weight_average, "estimate_statistics", lambda *_: None)
    assert trained(seed, layers=3)[0] > 1.2 * average
