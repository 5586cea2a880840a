"""Outputs of frozen networks: computed once per image, equal to the bit, bounded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine.provenance import fingerprint
from mulde.vision.methods import cbd, kd, simclrv2
from mulde.vision.models import network
from mulde.vision.models.staged import Features
from mulde.vision.training import options
from mulde.vision.training.cached import CachedOutputs
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from tests.vision import toys


class Counted(nn.Module):
    """A network that counts the images that it computes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network, self.images = network("cnn-8-16", 8, 1).eval(), 0
        self.widths = self.network.widths

    def forward(self, images: Tensor) -> Features:
        self.images += len(images)
        return self.network(images)


@pytest.mark.parametrize("output", ["logits", "pooled", "stages"])
def test_once_per_image_and_equal_to_the_bit(output: Any) -> None:
    train, net = toys.toy_split().train, Counted()
    cached, fresh = (CachedOutputs(net, train, output, 16, limit) for limit in (1 << 20, 0))
    rows = torch.arange(64, 0, -2)
    found, expected = cached(train.pixels(rows), rows), fresh(train.pixels(rows), rows)
    for name in ("stages", "pooled", "logits"):
        kept, again = getattr(found, name), getattr(expected, name)
        if name != output:
            assert (name == "stages" and kept == ()) or kept.shape == (32, 0)
        elif output == "stages":
            assert all(map(torch.equal, kept, again)) and len(kept) == len(again) == 2
        else:
            assert torch.equal(kept, again) and not kept.requires_grad
    computed, filled = net.images, 16 * -(-len(train) // 16)
    cached(train.pixels(rows), rows)
    assert net.images == computed == filled + 32


def test_images_of_a_loader_are_computed_for_every_batch() -> None:
    train, net = toys.toy_split().train, Counted()
    images, nowhere = train.pixels(torch.arange(4)), torch.full((4,), -1)
    cached = CachedOutputs(net, train, "logits", 16)
    cached(train.pixels(torch.arange(4)), torch.arange(4))  # now those of the set are kept
    assert torch.equal(cached(images + 1, nowhere).logits, net(images + 1).logits)


def test_what_is_too_large_is_computed_for_every_batch() -> None:
    train, net = toys.toy_split().train, Counted()
    rows, size = torch.arange(13), 8 * 4 * len(train)
    for limit, computed in ((size, len(train)), (size - 1, 13 + 2 * 13), (0, 2 * 13)):
        net.images = 0
        cached = CachedOutputs(net, train, "logits", 13, limit)
        for _ in range(2):
            assert cached(train.pixels(rows), rows).logits.shape == (13, 8)
        assert net.images == computed  # 65 images in batches of 13


@pytest.mark.parametrize("module", [kd, cbd, simclrv2], ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.parametrize("augment", ["none", "flip"])
def test_a_training_with_cached_outputs_is_the_same(module: Any, augment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same student to the bit; the teacher computes every image once, or with augmentation in every epoch."""
    training = Training(3, 16, augment, OptimizerSteps("adam", 1e-3))
    config = module.Config(student="cnn-4-6", training=training)
    split, role, students, computed = toys.toy_split(), "teacher", [], []
    forward = Counted.forward
    monkeypatch.setattr(Counted, "forward", lambda self, images: computed.append(len(images)) or forward(self, images))
    images = len(split.train)  # 65 in batches of 16, 16, 16 and 17, which are filled up to five of 16
    expected = {1 << 20: 80, 1: 16 + 3 * 80} if augment == "none" else dict.fromkeys((1 << 20, 1), 3 * images)
    for limit in expected:
        monkeypatch.setattr(options, "LIMIT", limit)
        computed.clear()
        students.append(fingerprint(run_method(module, config, split, Session(), {role: Counted()}).student))
        trial = 3 + len(split.valid)  # the checks before the training
        assert sum(computed) - trial == expected[limit]
    assert students[0] == students[1]
