"""CuDFKD: generated pictures, curricula of generator and student, and no training picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.engine import Clock, Trainer
from mulde.engine.batch_statistics import statistic_distances
from mulde.errors import UsageError
from mulde.losses.prototypes import entropy_of_mean
from mulde.vision.methods import cudfkd
from mulde.vision.methods.cudfkd import Config, CuDFKD, adversarial_weight, curriculum_weights
from mulde.vision.models import network
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "cnn-4-6", "teacher": "cnn-6-8", "updates": 4, "latent": 5, "width": 6, "student_updates": 3,
    "training": Training(1, 12, "none", OptimizerSteps("adam", 1e-3)),
}  # fmt: skip
LATER = Clock(step=9, epoch=6, epochs=8, progress=0.75)  # a multiple of three updates


def made(**changes: Any) -> tuple[CuDFKD, Any]:
    return toys.built(cudfkd, Config(**{**SMALL, **changes}), toys.toy_split())


def softmax(x: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    e = np.exp(x / temperature - (x / temperature).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_losses_are_those_of_the_equations() -> None:
    method, feed = made(threshold=0.5, threshold_growth=0.01, temperature=2.0)
    method.double()
    batch = next(iter(feed))
    batch = replace(batch, images=batch.images.double())
    inputs: list[Tensor] = []
    norms = [part for part in method.teacher.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_pre_hook(lambda m, x: inputs.append(x[0].detach()))
    inner: list[Tensor] = []
    method.teacher.register_forward_hook(lambda m, x, y: inner.append(y.logits.detach()))
    own: list[Tensor] = []
    method.student.register_forward_hook(lambda m, x, y: own.append(y.logits))
    torch.manual_seed(0)
    found = method.losses(batch, LATER)
    t, s = inner[0].numpy(), own[0].detach().numpy()
    p, q = softmax(t, 2.0), softmax(s, 2.0)
    each = 4 * (p * (np.log(p) - np.log(q))).sum(1)
    level = 0.5 + 0.01 * 9
    v = (1 + np.exp(-level)) / (1 + np.exp(each - level))
    mean = softmax(t, 20.0).mean(0)
    expected = {
        "student/soft": (v * each).mean(),
        "generator/balance": 20 * (mean * np.log(mean)).sum(),
        "generator/certainty": -np.log(softmax(t).max(1)).mean(),
        "generator/adversarial": -0.3 * 4 * each.mean(),  # epoch 6 of 8: the growth has ended after 4 epochs
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-9), name
    assert method.diagnostics(LATER) == pytest.approx({"threshold": level, "adversarial_weight": 0.3 * 4})
    distances = [
        np.linalg.norm(x.mean((0, 2, 3)).numpy() - norm.running_mean.numpy())
        + np.linalg.norm(x.var((0, 2, 3), correction=0).numpy() - norm.running_var.numpy())
        for x, norm in zip(inputs, norms, strict=False)  # the student has no such hook
    ]
    assert len(norms) == 3 and found["generator/statistics"].item() == pytest.approx(sum(distances), rel=1e-9)
    [gradient] = torch.autograd.grad(found["student/soft"], own, retain_graph=True)
    assert gradient.numpy() == pytest.approx(v[:, None] * 2 * (q - p) / len(v), rel=1e-6), "weights are constants"
    method.config = replace(method.config, shuffled=True)
    torch.manual_seed(0)
    other = method.losses(batch, LATER)
    p = np.roll(p, 1, 0)
    each = 4 * (p * (np.log(p) - np.log(q))).sum(1)
    v = (1 + np.exp(-level)) / (1 + np.exp(each - level))
    assert other["student/soft"].item() == pytest.approx((v * each).mean(), rel=1e-9)
    assert other["generator/certainty"] == found["generator/certainty"]


def test_statistics_that_agree_have_no_distance() -> None:
    layer = torch.nn.BatchNorm2d(3).double().eval()
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    with statistic_distances(layer) as distances:
        layer(x)
        layer.running_mean.copy_(x.mean((0, 2, 3)))
        layer.running_var.copy_(x.var((0, 2, 3), correction=0) + torch.tensor([0.0, 3.0, 4.0]))
        layer(x)
    assert distances[0] > 0 and distances[1].item() == pytest.approx(5.0)
    with (
        pytest.raises(UsageError, match="statistics of batch normalisation, found none"),
        statistic_distances(torch.nn.Linear(1, 1)),
    ):
        pass


def test_both_curricula_go_from_easy_to_hard() -> None:
    losses = torch.linspace(0, 8, 50, dtype=torch.float64)
    sizes = []
    for level in (1.0, 2.35, 5.0):
        v = curriculum_weights(losses, level)
        assert v[0].item() == pytest.approx(1.0) and (v.diff() < 0).all()
        sizes.append((v.sum() ** 2 / v.square().sum()).item())  # effective number of pictures
    assert sizes == sorted(sizes)
    table = [adversarial_weight(Clock(0, epoch, 8, 0.0), 0.3) for epoch in range(8)]
    assert table == pytest.approx([0, 0, 0, 0.3, 0.6, 0.9, 1.2, 1.2])
    assert entropy_of_mean(torch.eye(5) * 100, 1.0).item() == pytest.approx(np.log(5), rel=1e-5)


def test_the_generator_takes_turns_and_each_learns_from_its_own_terms() -> None:
    method, feed = made()
    seen: list[set[str]] = []
    losses = method.losses
    method.losses = lambda batch, clock: seen.append(set(found := losses(batch, clock))) or found
    before = [p.detach().clone() for p in method.generator.parameters()]
    Trainer(optimizers=OptimizerSteps("sgd", 0.01), progress=False).fit(method, feed, epochs=1)
    assert [len(terms) for terms in seen] == [5, 1, 1, 5]
    assert any(not torch.equal(p, q) for p, q in zip(method.generator.parameters(), before, strict=True))
    method, feed = made(entropy_weight=0.0, certainty_weight=0.0, statistics_weight=0.0, adversarial_growth=0.0)
    before = [p.detach().clone() for p in method.generator.parameters()]
    Trainer(optimizers=OptimizerSteps("sgd", 0.01), progress=False).fit(method, [next(iter(feed))], epochs=1)
    assert all(map(torch.equal, method.generator.parameters(), before)), "the student's loss does not train it"


def test_no_training_picture_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = toys.toy_split()
    teacher = network("cnn-6-8", data.classes, data.train.channels)
    train = data.train.unlabelled()

    def touched(self: Any, rows: Any = None) -> Tensor:
        assert self is not train, "a training picture was read"
        return pixels(self, rows)

    pixels = type(train).pixels
    monkeypatch.setattr(type(train), "pixels", touched)
    split = replace(data, train=train)
    config = Config(**SMALL)
    nets = cudfkd.networks(config, split, {"teacher": teacher})
    trained = cudfkd.run(config, split, Session(), nets)
    assert 0 <= trained.figures["agreement"] <= 1
    sheet = trained.pictures["generated"]
    assert sheet.shape == (32, *data.train.images.shape[1:]) and sheet.min() >= 0 and sheet.max() <= 1
    with pytest.raises(UsageError, match="give a trained --teacher"):
        cudfkd.run(config, split, Session(), cudfkd.networks(config, split, {}))
