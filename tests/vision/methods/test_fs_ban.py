"""FS-BAN: its losses, which network learns from them, and the temperature."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mulde.engine import OptimizerSpec, Trainer
from mulde.errors import UsageError
from mulde.vision.methods import fs_ban
from mulde.vision.methods.fs_ban import FSBAN, Config
from mulde.vision.models import network
from mulde.vision.models.classifiers import classifier_of
from mulde.vision.training.evaluation import pooled_features
from mulde.vision.training.few_shot import prototype
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "mlp-6", "teacher": "mlp-5", "ways": 2, "shots": 1, "queries": 2, "episodes": 3,
    "same_epochs": 1, "trial_lr": 0.5, "training": Training(1, 12, "none"),
}  # fmt: skip


def made(epoch: int = 1, **changes: Any) -> tuple[FSBAN, Any]:
    """The method in float64 and a batch of an epoch."""
    method, feed = toys.built(fs_ban, Config(**{**SMALL, **changes}), toys.data_of(fs_ban))
    feed.set_epoch(epoch)
    batch = next(iter(feed))
    return method.double(), replace(batch, images=batch.images.double())


def episode_logits(network: nn.Module, images: torch.Tensor) -> np.ndarray[Any, Any]:
    """Squared distances in loops: two labelled images, then two queries of each class."""
    f = network(images).pooled.detach().numpy()
    return np.array([[-sum((f[q] - f[c]) ** 2) for c in range(2)] for q in range(2, 6)])


def symmetric(a: Any, b: Any, t: float) -> float:
    p, q = restated.softmax(a / t), restated.softmax(b / t)
    return float(np.mean([t * t / 2 * (restated.kl(x, y) + restated.kl(y, x)) for x, y in zip(p, q, strict=True)]))


def test_losses_equal_numpy() -> None:
    method, batch = made()
    found = {name: value.item() for name, value in method.losses(batch, toys.BEGINNING).items()}
    here, there = (str(int(batch.domains[i])) for i in (0, 6))
    assert here != there
    own, matched, other = (
        episode_logits(net, batch.images[:6]) for net in (method.student, method.teachers[here], method.teachers[there])
    )
    labels = [0, 0, 1, 1]
    expected = {
        "student/hard": -np.log(restated.softmax(own)[range(4), labels]).mean(),
        "teachers/mutual": 0.8 * symmetric(matched, own, np.log1p(np.exp(4.0))),
        "student/mismatched": 0.5 * symmetric(other, own, 4.0),
    }
    trial = found.pop("temperature/trial")
    assert found == pytest.approx(expected, abs=1e-9)
    total = sum(method.losses(batch, toys.BEGINNING)[name] for name in expected)
    moved = copy.deepcopy(method.student)
    weights = [p for p in moved.parameters() if p.requires_grad]
    steps = torch.autograd.grad(total, [p for p in method.student.parameters() if p.requires_grad])  # type: ignore[arg-type]
    with torch.no_grad():
        for weight, step in zip(weights, steps, strict=True):
            weight -= 0.5 * step
    ahead = restated.softmax(episode_logits(moved, batch.images[6:]))
    assert trial == pytest.approx(-np.log(ahead[range(4), labels]).mean(), abs=1e-9)


def test_the_temperature_has_the_gradient_of_the_trial_loss() -> None:
    """The gradient through the trial step equals the difference quotient."""
    method, batch = made()
    [gradient] = torch.autograd.grad(method.losses(batch, toys.BEGINNING)["temperature/trial"], [method.t])
    sides = []
    for change in (1e-4, -1e-4):
        method.t.data = torch.tensor(4.0 + change, dtype=torch.float64)
        sides.append(method.losses(batch, toys.BEGINNING)["temperature/trial"].item())
    assert gradient.item() != 0
    assert gradient.item() == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-4)


def test_an_update_trains_the_student_the_matched_teacher_and_the_temperature() -> None:
    method, batch = made(student="cnn-4-6", teacher="cnn-4-5")
    method.float()
    batch = replace(batch, images=batch.images.float())
    before = copy.deepcopy(method.state_dict())
    Trainer(optimizers=OptimizerSpec("adam", 0.01, weight_decay=0.1), progress=False).fit(method, [batch], epochs=1)
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    parts = {".".join(name.split(".")[: 1 + name.startswith("teachers")]) for name in changed}
    assert parts == {"student", f"teachers.{int(batch.domains[0])}", "t"}


def test_the_classifier_is_that_of_the_class_means() -> None:
    method, _ = made()
    method.float().after_epoch(None)  # type: ignore[arg-type]
    features = pooled_features(method.student, method.images)
    expected = prototype(features, method.images.labels, features)
    found = classifier_of(method.student)(features)
    assert torch.allclose(found.softmax(1), expected.softmax(1), atol=1e-5)


def test_pairs_of_episodes() -> None:
    _, batch = made(epoch=0)
    assert len(batch.domains.unique()) == 1, "the first epochs have one domain"
    _, batch = made()
    for half in (slice(0, 6), slice(6, 12)):
        assert len(batch.domains[half].unique()) == 1
        first, second, *queries = batch.labels[half].tolist()
        assert first != second and queries == [first, first, second, second]
        assert len(batch.index[half].unique()) == 6


def test_domains_are_needed() -> None:
    with pytest.raises(UsageError, match="two domains or more"):
        toys.built(fs_ban, Config(**SMALL), toys.toy_split())


def test_a_classifier_without_a_bias_is_refused_before_the_training() -> None:
    student, data = network("cnn-4-6", 8, 1), toys.data_of(fs_ban)
    student.classifier = nn.Linear(6, 8, bias=False)
    with pytest.raises(UsageError, match="linear layer with a bias; take another network"):
        fs_ban.networks(Config(**SMALL), data, {"student": student})
