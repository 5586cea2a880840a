"""BNext: the binary network, the schedule of the assistants, and the gap weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.engine import Clock
from mulde.vision.distillation.summary import rows_of
from mulde.vision.methods import bnext
from mulde.vision.methods.bnext import BNext, Config, active_teachers, gap_weights
from mulde.vision.models import network
from mulde.vision.models.architecture import architecture_of
from mulde.vision.models.binary import BinaryConvolution, packed_size, sign
from mulde.vision.models.rebuilding import rebuild
from mulde.vision.training.options import Training
from mulde.vision.training.session import Session
from tests.vision import toys

ONE = Training(1, 12, "none")


def made(**changes: Any) -> tuple[BNext, Any]:
    config = Config(student="bnext-4-6", teacher=("cnn-3", "cnn-4", "cnn-6"), training=ONE, **changes)
    return toys.built(bnext, config, toys.toy_split())


def at(epoch: int, epochs: int = 8) -> Clock:
    return Clock(step=0, epoch=epoch, epochs=epochs, progress=epoch / epochs)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_loss_is_that_of_the_equations(weighted: bool) -> None:
    method, feed = made(gap_weights=weighted)
    method.double().eval()
    batch = next(iter(feed))
    batch = replace(batch, images=batch.images.double())
    method.outputs = [lambda images, rows, net=net: net(images) for net in method.teachers]  # not cached in float32
    found = method.losses(batch, at(5))
    assert method.binary and all(part.temperature == pytest.approx(0.9**5) for part in method.binary)
    with torch.no_grad():
        z = method.student(batch.images).logits.numpy()
        teachers = [method.teachers[i](batch.images).logits.numpy() for i in (1, 2)]
    log_q = z - np.log(np.exp(z).sum(1, keepdims=True))
    p = [np.exp(t) / np.exp(t).sum(1, keepdims=True) for t in teachers]
    c = np.stack([-(each * log_q).sum(1) for each in p])
    w = np.exp(c) / np.exp(c).sum(0) if weighted else np.full_like(c, 0.5)
    assert found["student/soft"].item() == pytest.approx((w * c).sum(0).mean() / 2, rel=1e-9)
    method.config = replace(method.config, shuffled=True)
    c = np.stack([-(np.roll(each, 1, 0) * log_q).sum(1) for each in p])
    w = np.exp(c) / np.exp(c).sum(0) if weighted else w
    assert method.losses(batch, at(5))["student/soft"].item() == pytest.approx((w * c).sum(0).mean() / 2, rel=1e-9)
    method.config = replace(method.config, distilled=False)
    hard = -log_q[range(len(z)), batch.labels.numpy()].mean()
    found = method.losses(batch, at(5))
    assert set(found) == {"student/hard"} and found["student/hard"].item() == pytest.approx(hard, rel=1e-9)


def test_assistants_take_turns_and_the_farther_teacher_counts_more() -> None:
    assert [active_teachers(3, at(epoch))[0] for epoch in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert all(active_teachers(3, at(epoch))[1] == 2 for epoch in range(8))
    assert active_teachers(1, at(3)) == [0]
    losses = torch.tensor([[1.0], [3.0]], requires_grad=True)
    weights = gap_weights(losses)
    assert weights[1] > weights[0] and weights.sum().item() == pytest.approx(1) and not weights.requires_grad


def test_a_binary_convolution_has_signs() -> None:
    x = torch.tensor([-2.0, -0.1, 0.0, 0.3], requires_grad=True)
    found = sign(x, 0.5)
    assert found.tolist() == [-1, -1, 1, 1]
    found.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 / torch.cosh(2 * x.detach()) ** 2, atol=1e-5, rtol=1e-5)
    layer = BinaryConvolution(3, 2)
    images = torch.randn(1, 3, 5, 5)
    expected = torch.nn.functional.conv2d(images.sign(), layer.weight.sign(), padding=1)
    expected = expected * layer.weight.abs().mean((1, 2, 3)).view(1, 2, 1, 1)
    assert torch.allclose(layer(images), expected, atol=1e-5)
    factors = torch.randn(1, 2, 5, 5)
    (factors * layer(images)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.all()
    layer.weight.grad = None
    layer.weight.data[0] = 1.5
    (factors * layer(images)).sum().backward()
    assert not layer.weight.grad[0].any() and layer.weight.grad[1].all(), "weights outside of [-1, 1] do not move"


def test_teachers_are_trained_unless_they_are_given(tmp_path: Path) -> None:
    config, data = (
        Config(student="bnext-4", teacher=("cnn-3", "cnn-4"), training=ONE, teacher_training=ONE),
        toys.toy_split(),
    )
    given = {"teacher": [network("cnn-3", data.classes, 1), network("cnn-4", data.classes, 1)]}
    for name, roles, expected in (("new", {}, {"teacher-1", "teacher-2", "fit"}), ("given", given, {"fit"})):
        bnext.run(config, data, Session(folder=tmp_path / name), bnext.networks(config, data, roles))
        assert {path.name for path in (tmp_path / name).iterdir()} == expected


def test_sizes_count_bits_and_multiply_adds() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1, bias=False), BinaryConvolution(8, 16, 2))
    found = packed_size(net, torch.zeros(1, 1, 8, 8))
    assert found["packed_MB"] * 1e6 == pytest.approx(4 * 72 + 9 * 8 * 16 / 8 + 4 * 16)
    assert found["multiply_adds"] == 64 * 72 and found["binary_multiply_adds"] == 16 * 9 * 8 * 16
    data = toys.toy_split()
    student = network("bnext-4-6", data.classes, data.train.channels)
    rows = rows_of(
        {"student": student, "teacher": network("cnn-4", data.classes, data.train.channels)}, "classify", data
    )
    assert rows[0]["packed_MB"] < rows[0]["MB"] and rows[0]["binary_multiply_adds"] > 0
    assert rows[1]["binary_multiply_adds"] == 0, "the other networks of the table have the columns too"


def test_a_student_is_rebuilt() -> None:
    net = network("bnext-4-6", 3, 1).eval()
    twin = rebuild(architecture_of(net)).eval()
    twin.load_state_dict(net.state_dict())
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(twin(images).logits, net(images).logits)
