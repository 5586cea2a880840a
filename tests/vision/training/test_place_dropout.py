"""PLACE dropout: numbers of channels, the drawn stage, and that nothing of it remains outside updates."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine import Clock, Trainer
from mulde.errors import UsageError
from mulde.vision.data.augmentation import shift
from mulde.vision.methods import kd
from mulde.vision.methods.supervised import Supervised
from mulde.vision.models import Adapted, network
from mulde.vision.models.adapted import stage_layers
from mulde.vision.training.feeds import ImageFeed
from mulde.vision.training.options import Training
from mulde.vision.training.place_dropout import PlaceDropout, PlaceDropoutOptions, drop_channels, rate
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from tests.engine.test_resume import Stopped, results, stopping
from tests.vision import toys


def made() -> Supervised:
    torch.manual_seed(0)
    return Supervised(network("cnn-8-12-10", 8, 1))


def attached(method: Supervised, **options: Any) -> PlaceDropout:
    callback = PlaceDropout(**options)
    callback.begin(method, {}, None)
    callback.before_update(at(0))  # the epochs are counted from here
    callback.after_update(at(0))
    return callback


def at(epoch: int, progress: float = 0.0) -> Clock:
    return Clock(step=7 * epoch, epoch=epoch, epochs=80, progress=progress)


def stages_of(method: Supervised) -> list[Tensor]:
    return list(method.network(toys.batch().images).stages)


def test_the_fraction_grows() -> None:
    values = [rate(epoch, 0.33, 4.0) for epoch in (0, 4, 40)]
    assert values == pytest.approx([0.0, 0.33 / 2, 0.33 * 2 / math.pi * math.atan(10)]) and values[2] > 0.93 * 0.33


@pytest.mark.parametrize("epoch", [0, 4, 40])
def test_numbers_of_channels_and_their_scale(epoch: int) -> None:
    share, features = rate(epoch, 0.4, 4.0), torch.rand(50, 30, 2, 3, dtype=torch.float64) + 0.1
    found = drop_channels(features, share)
    zeroed = (found == 0).all((2, 3))
    assert zeroed.sum(1).tolist() == [math.floor(share * 30)] * 50
    assert torch.equal((found == 0).any((2, 3)), zeroed)
    expected = features * ~zeroed[..., None, None] / (1 - share)  # by the fraction, not by the rounded number
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)
    if epoch:
        assert len(zeroed.unique(dim=0)) > 40, "samples share their channels"
        assert zeroed.sum(0).min() > 0, "a channel is never chosen"


def test_one_stage_per_update_drawn_uniformly() -> None:
    method, counts = made(), [0, 0, 0]
    callback, plain = attached(method), stages_of(method)
    for _ in range(1000):
        callback.before_update(at(40))
        counts[callback._stage] += 1
    assert all(abs(count - 1000 / 3) < 4 * math.sqrt(1000 * 2 / 9) for count in counts)
    for _ in range(5):
        callback.before_update(at(40))
        found = stages_of(method)
        changed = [not torch.equal(one, other) for one, other in zip(plain, found, strict=True)]
        assert changed == [number >= callback._stage for number in range(3)]  # later ones receive its output
        dropped = [int((one == 0).all((2, 3)).sum(1).min()) for one in found]
        assert dropped[callback._stage] >= math.floor(callback._rate * (8, 12, 10)[callback._stage])


def test_chosen_stages_alone() -> None:
    method = made()
    callback, plain = attached(method, stages=(2, 9)), stages_of(method)
    callback.before_update(at(40))
    changed = [not torch.equal(one, other) for one, other in zip(plain, stages_of(method), strict=True)]
    assert changed == [False, True, True]


def test_nothing_outside_updates() -> None:
    method, images = made(), toys.batch().images
    callback = attached(method, most=0.5)

    def logits() -> Tensor:
        torch.manual_seed(1)
        return method.network(images).logits.detach()

    plain = logits()
    callback.before_update(at(40))
    assert not torch.equal(logits(), plain)
    with torch.no_grad():
        assert torch.equal(logits(), plain)
    callback.after_update(at(40))
    assert torch.equal(logits(), plain)
    callback.before_update(at(40))
    method.eval()
    evaluated = logits()
    callback.end()
    assert torch.equal(logits(), evaluated)
    method.train()
    assert torch.equal(logits(), plain)
    assert not any(layer._forward_hooks for layer in stage_layers(method.network))


def test_it_begins_late_and_counts_epochs_from_there() -> None:
    callback = attached(made(), most=0.4, begin_at=0.5)
    callback.before_update(at(39, 0.49))
    assert (callback._stage, callback.values()) == (-1, {"place_dropout": 0.0})
    callback.before_update(at(40, 0.5))
    assert callback._stage >= 0 and callback._rate == 0
    callback.before_update(at(44, 0.55))
    assert callback._rate == pytest.approx(0.2)


def test_copies_of_the_network_have_it_too() -> None:
    """A method may train a copy in its update."""
    method = made()
    callback = attached(method)
    other = copy.deepcopy(method)
    plain = stages_of(other)[2]
    callback.before_update(at(40))
    assert not torch.equal(stages_of(other)[2], plain)


def accuracy(method: Any, clock: Clock) -> dict[str, float]:
    batch = toys.batch()
    return {"valid/error": -method.predict(batch).log_softmax(1)[range(len(batch)), batch.labels].mean().item()}


def fit(folder: Path, method: Any, **options: Any) -> Any:
    callbacks = [PlaceDropout(0.5, 1.0, **options)] if options else []
    trainer = Trainer(folder=folder, callbacks=callbacks, checkpoint_every=0, log_every=2, progress=False)
    feed = ImageFeed(toys.toy_split().train, 32, augment=shift(1))
    return trainer.fit(method, feed, epochs=3, evaluate=accuracy, name="x", select=("valid/error", "min"))


def test_resume_is_exact(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", made(), begin_at=0.3)
    assert whole.metrics != fit(tmp_path / "plain", made()).metrics, "it has no effect"
    for step in (1, whole.steps - 1):
        with pytest.raises(Stopped):
            fit(tmp_path / f"cut-{step}", stopping((made(), None), step)[0], begin_at=0.3)
        torch.manual_seed(99)
        fit(tmp_path / f"cut-{step}", made(), begin_at=0.3)
        assert results(tmp_path / f"cut-{step}") == results(tmp_path / "whole")


def test_networks_of_the_user() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    method = Supervised(Adapted(layers, stages=("1",)))
    callback = attached(method)
    callback.before_update(at(40))
    assert ((stages_of(method)[0] == 0).all((2, 3)).sum(1) >= 1).all()
    with pytest.raises(UsageError, match="PLACE dropout needs stages 1, 2, 3 of the network student, which has none"):
        attached(Supervised(Adapted(layers)))
    with pytest.raises(UsageError, match="stages 4, 5 of the network student, which has 3; take others with place_st"):
        attached(made(), stages=(4, 5))


def test_the_option_reaches_the_fit_of_a_session() -> None:
    training = Training(2, 24, "none", place=PlaceDropoutOptions(place_dropout=0.5, place_tau=1.0))
    assert training.additions_for_trainer()["callbacks"] == [PlaceDropout(0.5, 1.0, 0.0, (1, 2, 3))]
    config = kd.Config(student="cnn-4-6", teacher=("cnn-4-6",), training=training)
    off = kd.Config(student="cnn-4-6", teacher=("cnn-4-6",), training=Training(2, 24, "none"))
    weights = [run_method(kd, one, toys.toy_split(), Session()).student.state_dict() for one in (config, off)]
    assert not torch.equal(*(one["classifier.weight"] for one in weights))
