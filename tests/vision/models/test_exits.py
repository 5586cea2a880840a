"""Networks with exits: their shapes, early exit, and storage with and without the exits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet
from mulde.vision.inference.evaluation import evaluate
from mulde.vision.inference.labelled import Labelled
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.models import Adapted, network
from mulde.vision.models.exits import ExitNetwork, exit_heads
from mulde.vision.storage.student import Student, open_student, save_student
from tests.vision.small_students import about

IMAGES = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def made(name: str = "cnn-4-5-6") -> ExitNetwork:
    torch.manual_seed(0)
    net = network(name, 3, 1, channels=4, size=8)
    found = ExitNetwork(net, exit_heads(net, IMAGES, 3))
    found.exits(IMAGES)  # statistics of batch normalisation
    return found.eval()


@pytest.mark.parametrize("name", ["cnn-4-5-6", "resnet8", "wrn-10-2", "mlp-4-6", "vgg11", "cifar-resnet18"])
def test_every_exit_has_the_shapes_of_the_deepest(name: str) -> None:
    found = made(name)
    shapes = {(tuple(each.features.shape), tuple(each.logits.shape)) for each in found.exits(IMAGES)}
    assert len(shapes) == 1 and len(found.exits(IMAGES)) == len(found.network.widths)
    *maps, last = found.network(IMAGES).stages
    assert {head(stage).shape[2] for head, stage in zip(found.heads.bottlenecks, maps, strict=True)} == {last.shape[2]}


@torch.no_grad()
def test_early_exit_takes_the_first_confident_exit() -> None:
    net = made()
    all_logits = torch.stack([each.logits for each in net.exits(IMAGES)])
    confidence = float(all_logits[:-1].softmax(2).amax(2).median())
    logits, taken = net.early(IMAGES, confidence)
    sure = all_logits.softmax(2).amax(2) >= confidence
    expected = [next((i for i in range(2) if sure[i, row]), 2) for row in range(9)]
    assert taken.tolist() == expected and len(set(expected)) > 1
    torch.testing.assert_close(logits, all_logits[taken, torch.arange(9)])
    assert net.early(IMAGES, 0.0)[1].tolist() == [0] * 9
    torch.testing.assert_close(net.early(IMAGES, 2.0)[0], net(IMAGES).logits)


@torch.no_grad()
def test_later_stages_are_not_computed() -> None:
    net, rows = made(), []
    net.network.stages[1].register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    _, taken = net.early(IMAGES, float(net.exits(IMAGES)[0].logits.softmax(1).amax(1).median()))
    assert rows[-1] == int((taken > 0).sum()) < 9
    rows.clear()
    net.early(IMAGES, 0.0)
    assert rows == []


def test_stored_with_and_without_exits(tmp_path: Path) -> None:
    net = made()
    for name, part in (("student", net.network), ("exits", net)):
        save_student(
            tmp_path / name, Student(part, "classify", ("a", "b", "c"), 1, (8, 8), (0.0,), (1.0,)), about("byot")
        )
    alone, opened = (open_student(tmp_path / name).network for name in ("student", "exits"))
    assert torch.equal(alone(IMAGES).logits, net(IMAGES).logits) and torch.equal(
        opened(IMAGES).logits, net(IMAGES).logits
    )
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(opened.exits(IMAGES), net.exits(IMAGES), strict=True))


def test_evaluation_shows_exits_and_their_speed() -> None:
    net = made()
    with torch.no_grad():
        net.heads.classifiers[0].weight.mul_(20)  # some exits are sure
    classes = ("a", "b", "c")
    images = ImageSet(IMAGES, torch.arange(9) % 3, classes)
    model = TorchOutputs(Student(net, "classify", classes, 1, (8, 8), (0.0,), (1.0,)))
    found = evaluate(model, Labelled(images))
    assert found["exits"]["exit_3"] == found["accuracy"]
    *rows, whole = found["early_exit"]
    assert whole["confidence"] is None and whole["accuracy"] == found["accuracy"] and whole["mean exit"] == 3
    assert all(row["p50 ms"] > 0 and 1 <= row["mean exit"] <= 3 for row in rows)
    early = [row["early"] for row in rows]
    assert early == sorted(early, reverse=True) and early[0] > early[-1]


def test_networks_that_have_no_exits() -> None:
    with pytest.raises(UsageError, match="the network returns 1 stages; choose one with two or more"):
        made("cnn-4")
    own = Adapted(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)), ("0", "1"))
    net = ExitNetwork(own, exit_heads(own, IMAGES, 3))
    assert len(net.exits(IMAGES)) == 2
    with pytest.raises(UsageError, match="early exit computes the stages one by one, which Adapted does not allow"):
        net.early(IMAGES, 0.5)
