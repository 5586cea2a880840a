"""A teacher detector that is trained first: its own schedule and its own images."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mulde.engine import Record
from mulde.errors import UsageError
from mulde.vision.data.scenes import scenes
from mulde.vision.data.splitting import split
from mulde.vision.methods import chen17, lad
from mulde.vision.training import detection
from mulde.vision.training.detection import images_of_teacher
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys

SHORT = Training(1, 30, "none", OptimizerSteps("adam", 1e-3))


@pytest.mark.parametrize("method", [chen17, lad])
def test_the_teacher_has_a_schedule_and_images_of_its_own(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, stages, data = method, {}, toys.boxed_split()

    def fit(self: Session, setup: object, config: Any, *, name: str = "fit", **options: object) -> Record | None:
        feed = getattr(setup, "feed", None)
        stages[name] = (getattr(config, "training", config).epochs, None if feed is None else feed.images.checksum())
        return None

    monkeypatch.setattr(Session, "fit", fit)
    longer = dataclasses.replace(SHORT, epochs=3)
    changes = {"training": SHORT, "teacher_training": longer, "teacher_data": "scenes:40,size=24"}
    config = dataclasses.replace(module.STUDY.config, **changes)
    module.run(config, data, Session(), module.networks(config, data, {}))
    others = images_of_teacher("scenes:40,size=24", data)
    assert stages == {"teacher": (3, others.checksum()), "fit": (1, None)}
    assert len(others) == 40 and others.scale is data.scale


def test_images_of_a_teacher_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = split(scenes(40, size=24), 0).standardised()
    with pytest.raises(UsageError, match="scenes:80,size=24: 13 of the pictures are in the validation or test part"):
        images_of_teacher("scenes:80,size=24", data)
    grey = dataclasses.replace(data, train=scenes(4, size=24, channels=3))
    with pytest.raises(UsageError, match="expected 3 channels as in the data, found 1; add ,grey=1"):
        images_of_teacher("scenes:8,size=24", grey)
    others = dataclasses.replace(data, train=dataclasses.replace(data.train, classes=("cat", "dog", "cow")))
    with pytest.raises(UsageError, match="expected the classes of the data in their order, cat, dog, cow; found disc"):
        images_of_teacher("scenes:8,size=24", others)


def test_the_training_part_of_images_with_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ("train",) * 5 + ("test",) * 3
    monkeypatch.setattr(detection, "load_boxed", lambda spec: dataclasses.replace(scenes(8, size=24), parts=parts))
    found = images_of_teacher("voc:photos", toys.boxed_split())
    assert len(found) == 5 and torch.equal(found.boxes, scenes(8, size=24).boxes[:5])
