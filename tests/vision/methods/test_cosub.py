"""cosub: its four terms with both criteria, two submodels in one pass, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.engine import Trainer
from mulde.vision.methods import cosub
from mulde.vision.methods.cosub import Config, Cosub
from mulde.vision.models.stochastic_depth import residual_blocks, stochastic_depth
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "resnet14", "channels": 4, "training": Training(1, 12, "none")}


def made(**changes: Any) -> tuple[Cosub, Any]:
    return toys.built(cosub, Config(**{**SMALL, **changes}), toys.toy_split())


def computed(method: Cosub) -> tuple[dict[str, Tensor], Any, Any]:
    """Terms in float64, and the logits of both submodels that they are made of."""
    kept: list[Tensor] = []
    method.double().student.classifier.register_forward_hook(lambda module, inputs, output: kept.append(output))
    batch = toys.batch()
    torch.manual_seed(4)
    terms = method.losses(ImageBatch(batch.images.double(), batch.labels, batch.index), toys.BEGINNING)
    assert len(kept) == 1, "both submodels are one pass"
    halves = kept[0].detach().numpy()
    return terms, halves[:12], halves[-12:]


@pytest.mark.parametrize("kind", ["bce", "ce"])
@pytest.mark.parametrize("shift", [0, 1])
def test_four_terms_equal_numpy(kind: str, shift: int) -> None:
    terms, *logits = computed(made(criterion=kind, soft_weight=0.3, drop_rate=0.4, shuffled=bool(shift))[0])
    assert np.abs(logits[0] - logits[1]).max() > 1e-3

    def probabilities(z: Any) -> Any:
        return 1 / (1 + np.exp(-z)) if kind == "bce" else restated.softmax(z)

    def criterion(z: Any, target: Any) -> float:
        q = probabilities(z)
        if kind == "bce":
            return float(-(target * np.log(q) + (1 - target) * np.log(1 - q)).mean())
        return float(-(target * np.log(q)).sum(1).mean())

    labels = np.eye(8)[toys.batch().labels.numpy()]
    hard = sum(criterion(z, labels) for z in logits)
    soft = sum(criterion(logits[i], np.roll(probabilities(logits[1 - i]), shift, 0)) for i in (0, 1))
    expected = {"student/hard": 0.35 * hard, "student/soft": 0.15 * soft}
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected, rel=1e-9)


def test_default_weights_are_a_quarter() -> None:
    config = Config()
    assert ((1 - config.soft_weight) / 2, config.soft_weight / 2, config.criterion) == (0.25, 0.25, "bce")


@pytest.mark.parametrize("kind", ["bce", "ce"])
def test_without_dropping_both_submodels_are_one_and_teach_nothing(kind: str) -> None:
    method = made(drop_rate=0.0, criterion=kind)[0]
    terms, first, second = computed(method)
    assert np.array_equal(first, second)
    gradients = torch.autograd.grad(terms["student/soft"], list(method.student.classifier.parameters()))
    assert all(gradient.abs().max() < 1e-15 for gradient in gradients)


def test_masks_differ_between_the_two_passes() -> None:
    method, rows = made(student="resnet20", drop_rate=0.3)[0], []
    images = toys.toy_split().train.pixels(slice(48))
    blocks = residual_blocks(method.student)
    skipped = torch.zeros(len(blocks), 96, dtype=torch.bool)

    def noting(number: int) -> Any:
        def note(module: Any, inputs: Any, output: Tensor) -> None:
            skipped[number] = (inputs[0] == output).flatten(1).all(1)

        return note

    for number, block in enumerate(blocks):
        block.register_forward_hook(noting(number))
    method.losses(ImageBatch(images, torch.zeros(48, dtype=torch.int64), torch.arange(48)), toys.BEGINNING)
    rows = (skipped[:, :48] != skipped[:, 48:]).any(0)
    assert rows.double().mean() > 0.9 and 0.2 < skipped.double().mean() < 0.4


def test_twice_as_many_rows_in_as_many_updates() -> None:
    method, feed = made()
    record = Trainer(progress=False).fit(method, feed, epochs=1, name=None)
    assert record.steps == len(feed) and record.cost["forwards"] == {"student": record.steps}
    assert record.cost["forward_samples"]["student"] == 2 * record.cost["samples"] == 2 * len(toys.toy_split().train)


def test_figures_of_submodels() -> None:
    network, test = made(student="resnet20")[0].student.eval(), toys.toy_split().test
    assert cosub.divergence(network, test, 0.0) == 0 < cosub.divergence(network, test, 0.5)
    with stochastic_depth(residual_blocks(network), 1.0):
        without = cosub.network_accuracy(network, test)
    assert cosub.accuracy_without(network, test, 7, draws=2) == pytest.approx(without)
