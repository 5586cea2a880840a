"""TST: the losses, and what an augmentation learns in a phase."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.engine import OptimizerSpec, Trainer
from mulde.vision.data.learned_augmentation import CHANGES, LearnedAugmentation
from mulde.vision.methods import tst
from mulde.vision.methods.tst import TST, Config
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "mlp-6", "teacher": "mlp-8", "phases": (1,), "training": Training(1, 12, "none")}


def test_losses_equal_numpy() -> None:
    """Both halves see one changed version; the means are over both."""
    method: TST = toys.built(tst, Config(**SMALL), toys.toy_split())[0].double()
    batch = toys.batch()
    images, labels = batch.images.double(), batch.labels.numpy()
    torch.manual_seed(3)
    changed = method.augmentation(images)
    torch.manual_seed(3)
    found = method.losses(type(batch)(images, batch.labels, batch.index), toys.BEGINNING)
    hard, soft = [], []
    for half in (changed, images):
        own, target = (net(half).logits.detach().numpy() for net in (method.student, method.teacher))
        hard += list(-np.log(restated.softmax(own)[np.arange(len(labels)), labels]))
        rows = zip(restated.softmax(target / 4), restated.softmax(own / 4), strict=True)
        soft += [16 * restated.kl(p, q) for p, q in rows]
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {"student/hard": np.mean(hard), "student/soft": np.mean(soft)}, abs=1e-9
    )
    torch.manual_seed(3)
    loss = method.augmentation_loss(images, batch.labels).item()
    chosen = (np.arange(len(labels)), labels)
    p_t, p_s = (
        restated.softmax(net(changed).logits.detach().numpy())[chosen] for net in (method.teacher, method.student)
    )
    assert loss == pytest.approx(np.mean(-np.log(p_t) - np.log(1 - p_s + 1e-8)), abs=1e-9)


class Bright(nn.Module):
    """Two classes by the brightness of the left half, or, robust, by its ratio to that of the right half."""

    def __init__(self, robust: bool) -> None:
        super().__init__()
        self.robust, self.one = robust, nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Any:
        left, right = images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))
        found = 5 * (left - right) / (left + right + 1e-6) if self.robust else 20 * (0.15 - (left - 0.5).abs())
        return SimpleNamespace(logits=torch.stack([-found, found], 1) * self.one)


def test_a_phase_learns_what_the_teacher_can_and_the_student_cannot() -> None:
    """The student fails where brightness changes and the teacher does not; the swapped pair learns the opposite."""
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    images = 0.05 + 0.1 * torch.rand(64, 1, 8, 8)
    images[labels == 1, :, :, :4] += 0.4
    images[labels == 0, :, :, 4:] += 0.4
    found = []
    for robust in (True, False):
        split = toys.toy_split()
        method = TST(Bright(not robust), Bright(robust), Config(**SMALL, phase_lr=0.5, phase_epochs=30), split.train)
        method.augmentation = LearnedAugmentation(None, 2, ("brightness", "colour")).requires_grad_(False)
        batch = SimpleNamespace(images=images, labels=labels)
        end: Any = SimpleNamespace(clock=SimpleNamespace(epoch=1), batches=lambda batch=batch: iter([batch]))
        with torch.no_grad():
            method.after_epoch(end)
        assert method.student.training and not any(p.requires_grad for p in method.augmentation.parameters())
        found.append(method.augmentation.policy()["brightness"])
        assert method.augmentation.policy()["colour"] == pytest.approx(0.25), "grey images have no colour"
    assert found[0] > 2 * 0.25 and found[1] < 0.25, "0.25 at the beginning"


def test_every_change_has_a_gradient() -> None:
    images = torch.rand(8, 3, 8, 8)
    augmentation = LearnedAugmentation(None, len(CHANGES))
    (augmentation(images) * torch.rand(8, 3, 8, 8)).sum().backward()
    for parameter in augmentation.parameters():
        assert parameter.grad is not None and (parameter.grad != 0).all()


class Stopped(Exception):
    """Ends a training like a power cut."""


def test_a_phase_that_was_cut_gives_the_same_bytes(tmp_path: Path) -> None:
    def fit(folder: Path, stop_at: int | None = None) -> dict[str, Tensor]:
        method, feed = toys.built(tst, Config(**SMALL, phase_epochs=2, phase_lr=1.0), toys.toy_split())
        loss, calls = method.augmentation_loss, itertools.count()

        def until(images: Tensor, labels: Tensor) -> Tensor:
            if next(calls) == stop_at:
                raise Stopped
            return loss(images, labels)

        method.augmentation_loss = until
        trainer = Trainer(folder=folder, optimizers=OptimizerSpec("sgd", 0.05), checkpoint_every=0.0, progress=False)
        trainer.fit(method, feed, epochs=2)
        return method.state_dict()

    whole = fit(tmp_path / "whole")
    assert whole["augmentation.strength"].count_nonzero(), "the phase has changed the augmentation"
    with pytest.raises(Stopped):
        fit(tmp_path / "cut", stop_at=8)
    torch.manual_seed(99)
    resumed = fit(tmp_path / "cut")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
