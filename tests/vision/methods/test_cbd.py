"""CBD: the loss by hand, its limits, and the images of teachers and student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mulde.engine import OptimizerSpec, Trainer
from mulde.vision.data import Split
from mulde.vision.data.splitting import long_tailed, split
from mulde.vision.methods import cbd
from mulde.vision.methods.cbd import CBD, Config, fused_features
from mulde.vision.methods.supervised import Supervised
from mulde.vision.models.projected import Projected
from mulde.vision.training.feeds import ImageFeed, class_balanced
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "cnn-4-6",
    "teacher": ("cnn-3-5", "cnn-3-5"),
    "augmented": 1,
    "augmented_by": "small",
    "training": Training(2, 12, "shift", OptimizerSteps("sgd", 0.05, momentum=0.9)),
}


def made(**changes: Any) -> tuple[CBD, ImageFeed]:
    return toys.built(cbd, Config(**{**SMALL, **changes}), toys.toy_split())


def unit(rows: Any) -> Any:
    return rows / np.sqrt((rows**2).sum(1, keepdims=True))


def test_losses_by_hand() -> None:
    """(1 - α) times the mean cross entropy of 20 cos; α β times 1 - the mean cosine with both teachers side by side."""
    method, feed = made(alpha=0.3, beta=50.0)
    batch = next(iter(feed))
    method.train()
    found = method.losses(batch, toys.BEGINNING)
    student = method.student
    with torch.no_grad():
        own = student(batch.images)
        pooled = student.network(batch.images).pooled
        teachers = [teacher(batch.images).pooled.double().numpy() for teacher in method.teachers]
    assert student.projection[0].weight.shape == (10, 6)
    psi = np.maximum(student.projection[0](pooled).detach().double().numpy(), 0)
    np.testing.assert_allclose(own.pooled.numpy(), psi, rtol=1e-6)
    target = np.concatenate([unit(features) for features in teachers], 1)
    cosine = (unit(psi + 1e-12) * unit(target)).sum(1).mean()
    assert found["student/features"].item() == pytest.approx(0.3 * 50 * (1 - cosine), rel=1e-4)
    logits = 20 * unit(psi + 1e-12) @ unit(student.classifier.weight.detach().double().numpy()).T
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    hard = -log[np.arange(len(batch)), batch.labels.numpy()].mean()
    assert found["student/hard"].item() == pytest.approx(0.7 * hard, rel=1e-4)


def test_features_matter_by_direction_only() -> None:
    method, feed = made()
    batch = next(iter(feed))
    method.eval()
    before = method.losses(batch, toys.BEGINNING)["student/features"]
    teachers = [nn.Sequential(teacher, Scaled(3.0)) for teacher in method.teachers]
    scaled = CBD(method.student, teachers, method.config, toys.toy_split().train)
    torch.testing.assert_close(scaled.losses(batch, toys.BEGINNING)["student/features"], before)
    with torch.no_grad():
        for parameter in method.student.projection[0].parameters():
            parameter.mul_(2)
    torch.testing.assert_close(method.losses(batch, toys.BEGINNING)["student/features"], before)


class Scaled(nn.Module):
    """Features many times as long."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, found: Any) -> Any:
        return found._replace(pooled=self.factor * found.pooled)


def test_a_copy_of_its_teacher_has_nothing_to_learn_from_features() -> None:
    method, feed = made(augmented=0, student="cnn-3-5", teacher=("cnn-3-5",))
    assert not isinstance(method.student, Projected)  # the dimensions agree
    method.student.load_state_dict(method.teachers[0].state_dict())
    method.eval()
    terms = method.losses(next(iter(feed)), toys.BEGINNING)
    assert terms["student/features"].item() == pytest.approx(0, abs=1e-4)


def test_alpha_zero_is_class_balanced_training_bit_for_bit() -> None:
    method, feed = made(alpha=0.0)
    plain = Supervised(toys.built(cbd, Config(**SMALL), toys.toy_split())[0].student)
    optimizer = OptimizerSpec("sgd", 0.05, momentum=0.9)
    Trainer(optimizers=optimizer, progress=False).fit(method, feed, epochs=2, name=None)
    other = Training(2, 12, "shift").feed(toys.toy_split().train, toys.toy_split().seed, class_balanced)
    Trainer(optimizers=optimizer, progress=False).fit(plain, other, epochs=2, name=None)
    trained = method.student.state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in plain.network.state_dict().items())


def test_teachers_see_the_classes_as_they_are_and_the_student_sees_them_equally(monkeypatch: Any) -> None:
    found = split(toys.images(), 0, test=16)
    skewed = Split(long_tailed(found.train, 8.0, 0), found.valid, found.test, 0)
    seen: list[tuple[str, torch.Tensor]] = []
    fit = Session.fit

    def watched(self: Session, setup: Any, config: Any, **options: Any) -> None:
        seen.append((options.get("name", "fit"), torch.cat([batch.labels for batch in setup.feed])))
        setup.feed.set_epoch(0)
        fit(self, setup, config, **options)

    monkeypatch.setattr(Session, "fit", watched)
    metrics = toys.metrics(cbd, Config(**SMALL), skewed, Session(0))
    assert [name for name, _ in seen] == ["teacher_0", "teacher_1", "fit"]
    for _, labels in seen[:2]:
        assert torch.equal(labels.bincount(minlength=8), skewed.train.counts())
    assert {"accuracy", "few", "teacher"} <= set(metrics)
    large = skewed.train[torch.arange(len(skewed.train)).repeat(40)]
    drawn = torch.cat([batch.labels for batch in made_feed(large)]).bincount(minlength=8).double()
    expected = len(large) / 8
    assert ((drawn - expected) ** 2 / expected).sum() < 18.5  # 99 % of seven degrees of freedom


def test_teachers_are_trained_once_for_all_variants(tmp_path: Path) -> None:
    for variant, shuffled in (("method", False), ("control", True)):
        session = Session(0, tmp_path / variant, tmp_path / "common")
        toys.metrics(cbd, Config(**SMALL, shuffled=shuffled), toys.toy_split(), session)
    assert sorted(place.parts[-2:] for place in tmp_path.glob("*/*")) == [
        ("common", "teacher_0"),
        ("common", "teacher_1"),
        ("control", "fit"),
        ("method", "fit"),
    ]


def made_feed(images: Any) -> ImageFeed:
    whole = toys.toy_split()
    return toys.built(cbd, Config(**SMALL), Split(images, whole.valid, whole.test, 0))[1]


def test_by_default_all_crop_and_mirror_and_half_of_the_teachers_see_other_colours(monkeypatch: Any) -> None:
    config, seen = Config(student="cnn-4-6", teacher=("cnn-3-5",) * 4), []

    def watched(self: Session, setup: Any, config: Any, **options: Any) -> None:
        seen.append((config if isinstance(config, Training) else config.training).augment)

    monkeypatch.setattr(Session, "fit", watched)
    pytest.importorskip("kornia")
    toys.metrics(cbd, config, toys.toy_split(), Session(0))
    assert seen == ["crop-flip", "crop-flip", "crop-flip-jitter", "crop-flip-jitter", "crop-flip"]


def test_the_projection_stays() -> None:
    method, _ = made()
    assert "projection.0.weight" in method.exported()["student"].state_dict()
    assert fused_features(teacher(toys.batch().images) for teacher in method.teachers).shape == (12, 10)


def test_no_teacher_at_all() -> None:
    with pytest.raises(ValueError) as error:
        made(teacher=())
    assert str(error.value) == "CBD distils from at least one teacher; got none"
