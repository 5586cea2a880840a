"""Run folders as teachers and students; options of specifications."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from mulde.engine import is_frozen
from mulde.errors import UsageError
from mulde.vision.models import network
from mulde.vision.models.two_stage import TwoStageDetector
from mulde.vision.sources import specification
from tests.vision.sources.opening import CLASSES, IMAGES, PIXELS, close, fresh, logits, opened, saved


def test_options_have_values_for_every_channel() -> None:
    found = specification("onnx:a.onnx,mean=.1,.2,.3,std=1,1,1,stages=a.b,c,size=32")
    assert (found.kind, found.place, found.options["stages"]) == ("onnx", "a.onnx", ("a.b", "c"))
    assert found.input.mean == (0.1, 0.2, 0.3) and found.input.size == (32, 32)


def test_a_run_has_its_own_normalisation_size_and_order_of_classes(tmp_path: Path) -> None:
    """Equal to the network on pixels that are resized and normalised as it was trained, its columns by name."""
    net, said = fresh("cnn-4-6", 4), list[str]()
    place = saved(tmp_path / "run", net, ("Sea_Horse", "cat", "cow", "dog"))
    found = opened(place, report=said.append)
    own = torch.nn.functional.interpolate(PIXELS, (12, 12), mode="bilinear", antialias=True)
    own = (own - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.5, 0.5, 0.25]).view(1, 3, 1, 1)
    close(logits(found), logits(net, own)[:, [1, 3, 0]])
    assert found.widths == (4, 6) and len(said) == 1 and "3 of the 4 classes" in said[0]
    again = copy.deepcopy(found)
    assert torch.equal(logits(again), logits(found)) and again.state_dict().keys() == found.state_dict().keys()


def test_a_learner_takes_the_images_as_they_are(tmp_path: Path) -> None:
    net, said = fresh("cnn-4-6"), list[str]()
    found = opened(saved(tmp_path / "run", net, CLASSES), "student", report=said.append)
    assert found.training and not is_frozen(found) and all(each.requires_grad for each in found.parameters())
    assert torch.equal(logits(found.eval()), logits(net))
    assert said and "another normalisation; it continues with that of the data" in said[0]
    first, second = (opened("cnn-4-6", "student", seed=seed) for seed in (0, 0))
    assert torch.equal(logits(first), logits(second))
    assert not torch.equal(logits(first), logits(opened("cnn-4-6", "student", seed=1)))


def test_a_detector_has_its_own_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = TwoStageDetector(network("cnn-4-6", 1), 3, width=6, hidden=8, sides=(4.0,), bins=2).eval()
    place = saved(tmp_path / "run", detector, CLASSES, "detect")
    found = opened(place)
    own = (PIXELS - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.5, 0.5, 0.25]).view(1, 3, 1, 1)
    with torch.no_grad():
        close(found(IMAGES).logits, detector(own).logits)
    assert found.trunk.widths == (4, 6)
    with pytest.raises(UsageError, match="detectors teach their own classes, in the same order"):
        opened(place, classes=("dog", "cat", "sea horse"))
