"""DeiT: which head learns from what, the conventions of both losses, and students that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.engine import OptimizerSpec, Trainer
from mulde.errors import UsageError
from mulde.vision.methods import deit
from mulde.vision.methods.deit import Config, DeiT
from mulde.vision.models import Features
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "deit-8-2-2-patch4", "teacher": "cnn-4-6", "training": Training(1, 24, "none")
}  # fmt: skip


def made(**changes: Any) -> DeiT:
    method: DeiT = toys.built(deit, Config(**{**SMALL, **changes}), toys.toy_split())[0]
    return method.double().eval()


def batch() -> Any:
    found = toys.batch()
    return type(found)(found.images.double(), found.labels, torch.full_like(found.index, -1))


def answers(method: DeiT) -> tuple[Any, Any, Any, Any]:
    with torch.no_grad():
        heads = [logits.numpy() for logits in method.student(batch().images).heads]
        return *heads, method.teacher(batch().images).logits.numpy(), batch().labels.numpy()


def smoothed_cross_entropy(logits: Any, labels: Any, epsilon: float) -> float:
    classes = logits.shape[1]
    total = 0.0
    for row, label in zip(np.log(restated.softmax(logits)), labels, strict=True):
        wanted = np.full(classes, epsilon / classes)
        wanted[label] += 1 - epsilon
        total -= float(wanted @ row)
    return total / len(labels)


def test_hard_loss_equals_numpy() -> None:
    """Smoothing is of the labels only; the distillation head learns the teacher's first class."""
    method = made(alpha=0.3)
    own, distilled, target, labels = answers(method)
    found = {term: value.item() for term, value in method.losses(batch(), toys.BEGINNING).items()}
    assert found == pytest.approx(
        {
            "student/hard": 0.7 * smoothed_cross_entropy(own, labels, 0.1),
            "student/soft": 0.3 * smoothed_cross_entropy(distilled, target.argmax(1), 0.0),
        },
        abs=1e-9,
    )


@pytest.mark.parametrize(("reduction", "divisor"), [("mean", 12), ("elements", 12 * 8)])
def test_soft_loss_equals_numpy(reduction: str, divisor: int) -> None:
    """T² KL(teacher ‖ distillation head); the released code divides by the number of logits, 8 times more."""
    method = made(target="soft", temperature=3.0, reduction=reduction)
    _, distilled, target, _ = answers(method)
    pairs = zip(target, distilled, strict=True)
    total = sum(restated.kl(*(restated.softmax(z / 3) for z in pair)) for pair in pairs)
    found = method.losses(batch(), toys.BEGINNING)["student/soft"].item()
    assert found == pytest.approx(0.5 * 9 * total / divisor, abs=1e-9)


def test_without_a_teacher_the_mean_of_the_heads_learns_the_labels() -> None:
    method = made(alpha=0.0)
    own, distilled, _, labels = answers(method)
    found = method.losses(batch(), toys.BEGINNING)
    assert set(found) == {"student/hard"}
    expected = smoothed_cross_entropy((own + distilled) / 2, labels, 0.1)
    assert found["student/hard"].item() == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(method.predict(batch()).detach().numpy(), (own + distilled) / 2, atol=1e-12)


def test_two_heads_learn_two_truths() -> None:
    """The teacher says y + 3: the class head learns y, the distillation head y + 3."""
    data = toys.toy_split()
    training = Training(40, 60, "none")
    config = Config(student="deit-64-1-2-patch4", teacher="cnn-4", training=training)
    method, feed = toys.built(deit, config, data)

    class Permuted(nn.Module):
        def forward(self, images: Tensor, rows: Tensor) -> Features:
            wrong = (data.train.labels[rows] + 3) % 8
            return Features((), images.new_empty(len(images), 0), 10 * torch.eye(8)[wrong])

    method.outputs = Permuted()
    Trainer(optimizers=OptimizerSpec("adam", 5e-3), progress=False).fit(method, feed, epochs=40, name=None)
    with torch.no_grad():
        own, distilled = method.student.eval()(data.train.pixels()).heads
        class_token, distillation_token = method.student.tokens[0]
    labels = data.train.labels
    assert (own.argmax(1) == labels).double().mean() > 0.9
    assert (distilled.argmax(1) == (labels + 3) % 8).double().mean() > 0.9
    assert torch.nn.functional.cosine_similarity(class_token, distillation_token, 0) < 1


def test_a_student_without_a_distillation_token() -> None:
    method = made(student="cnn-4-6")
    with pytest.raises(UsageError, match="deit trains a student with a distillation token; choose one such as deit-t"):
        method.losses(batch(), toys.BEGINNING)
    assert made(student="vit-8-2-2-patch4", alpha=0.0).losses(batch(), toys.BEGINNING)
