"""Networks of the user's in Python, and networks for other classes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from mulde.engine import is_frozen
from mulde.errors import UsageError
from mulde.vision.models import Adapted
from mulde.vision.models.own_classes import WithClasses
from mulde.vision.sources import open_network
from tests.vision.sources.opening import CLASSES, IMAGES, PIXELS, SAME, close, fresh, logits, opened, saved

MODELS = """
import torch
from torch import nn
class Net(nn.Module):
    mean, std, size = (0.1, 0.2, 0.3), 0.5, 6
    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 7, 3, 2, 1))
        self.head = nn.Linear(7, classes)
    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))
torch.manual_seed(0)
made = Net()
def teacher(): return made
def wide(): return Net(5)
def sums(images): return images.sum((2, 3))
def pair(images): return images, images
class Two(nn.Module):
    def forward(self, images): return {"logits": images}
def needs(a, b): return made
number = 3
def broken(): return 1 / 0
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text(MODELS)
    return tmp_path / "my_models.py"


def test_python(models: Path) -> None:
    for name in ("my_models.py:made", "my_models.py:teacher", "my_models:teacher"):
        found = opened(f"{name},stages=body.1,body.2,pooled=body.2")
        made = found.network.module
        own = torch.nn.functional.interpolate(PIXELS, (6, 6), mode="bilinear", antialias=True)
        own = (own - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / 0.5
        with torch.no_grad():
            close(found(IMAGES).logits, made(own))
            assert [stage.shape[1:] for stage in found(IMAGES).stages] == [(5, 3, 3), (7, 2, 2)]
        assert found.widths == (5, 7)
        given = opened(made)  # the module itself
        close(logits(given), found(IMAGES).logits)
        assert not is_frozen(made) and given.network.module is not made
    student = opened("my_models.py:Net", "student")
    assert isinstance(student, Adapted) and student.training
    assert opened("my_models.py:Net", "student", classes=[*CLASSES, "bird"]).module.head.out_features == 4
    function = opened(f"my_models.py:sums{SAME}")
    assert torch.equal(logits(copy.deepcopy(function)), IMAGES.sum((2, 3))) and function.state_dict()


def test_python_that_is_no_network(models: Path) -> None:
    for name, role, message in (
        ("pair", "teacher", r"expected a module that returns logits \(images, classes\), got tuple"),
        ("Two", "teacher", "expected a module that returns logits .*, got dict"),
        ("needs", "teacher", "one that makes a network from classes, channels and size; it asks for a, b"),
        ("number", "teacher", "expected an nn.Module or a function, got int"),
        ("broken", "teacher", "broken ended in ZeroDivisionError"),
        ("none", "teacher", "my_models.py has nothing called none"),
        ("sums", "student", "is a function of images, and has nothing that learns; give an nn.Module"),
        ("made,stages=body.9", "teacher", 'no layer called "body.9"; nearest: body'),
    ):
        with pytest.raises(UsageError, match=message):
            opened(f"my_models.py:{name}", role)
    said = list[str]()
    grey = opened("my_models.py:made", channels=1, report=said.append)  # repeated to three channels
    assert logits(grey, IMAGES[:, :1]).shape == (4, 3)
    assert any("made takes colour images; those of the data become three equal channels for it" in one for one in said)
    with pytest.raises(UsageError, match="the network takes 3 channels, and the images have 4"):
        open_network("my_models.py:made", "teacher", classes=CLASSES, channels=4)


def test_other_classes_leave_features_only(models: Path, tmp_path: Path) -> None:
    said = list[str]()
    wide = opened("my_models.py:wide,stages=body.2", report=said.append)
    assert logits(wide).shape == (4, 0) and "has 5 classes, and the data have 3; it teaches by its features" in said[-1]
    other = opened(saved(tmp_path / "run", fresh("cnn-4-6"), ("cat", "dog", "cow")), report=said.append)
    assert logits(other).shape == (4, 0) and "does not have the classes sea horse of the data" in said[-1]
    assert isinstance(opened(f"{tmp_path / 'run'},classes=dog,cat,sea horse"), WithClasses)
    named = opened(f"my_models.py:made,classes=dog,cat,sea horse{SAME}")
    assert torch.equal(logits(named), logits(opened(f"my_models.py:made{SAME}"))[:, [1, 0, 2]])
    with pytest.raises(UsageError, match="has 3 logits, but 2 names of classes"):
        opened("my_models.py:made,classes=dog,cat")
