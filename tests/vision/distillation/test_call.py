"""`mulde.vision.distil`: modules, datasets and loaders of the caller's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mulde.vision
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.vision.models import Adapted
from tests.vision import toys

IMAGES = torch.rand(48, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PICTURES = TensorDataset(IMAGES, torch.arange(48) % 4)


def net(classes: int = 4) -> nn.Sequential:
    body = [nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, classes))


def loader(pictures: Any = PICTURES, **options: Any) -> DataLoader[Any]:
    return DataLoader(pictures, 12, generator=torch.Generator().manual_seed(1), **options)


def distil(**changes: Any) -> nn.Module:
    torch.manual_seed(3)
    options: dict[str, Any] = {"student": net(), "teacher": net(), "train": PICTURES, "epochs": 1, "device": "cpu"}
    return mulde.vision.distil(**{**options, **changes})


def test_modules_are_copied_and_the_student_is_returned() -> None:
    student, teacher = net().train(), net().train()
    before = fingerprint(student), fingerprint(teacher)
    found = distil(student=student, teacher=[teacher, net()], train=loader(shuffle=True), valid=loader())
    assert isinstance(found, nn.Sequential) and not found.training
    assert (fingerprint(student), fingerprint(teacher)) == before and fingerprint(found) != before[0]
    assert student.training and teacher.training


def test_a_loader_delivers_what_is_trained_on() -> None:
    """Two passes over a loader are those of plain torch, bit for bit."""
    student, teacher = net(), net().eval()
    plain = copy.deepcopy(student)
    options = {"augment": "none", "lr": 0.1, "schedule": "constant", "weight_decay": 0.0, "epochs": 2}
    found = distil(student=student, teacher=teacher, train=loader(), soft_weight=0.0, hard_weight=1.0, **options)
    optimizer = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9, fused=True)
    for _ in range(2):
        for images, labels in loader():
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(images), labels).backward()
            optimizer.step()
    assert fingerprint(found) == fingerprint(plain)


def test_without_heads_where_a_network_is_given() -> None:
    found = distil(method="dcm", teacher=None, networks={"partner": net()})
    assert isinstance(found, nn.Sequential) and not found.training


def test_a_loader_is_continued_within_an_epoch(tmp_path: Path) -> None:
    class Stops(TensorDataset):
        left = 30

        def __getitem__(self, index: Any) -> Any:
            self.left -= 1
            if not self.left:
                raise ConnectionError
            return super().__getitem__(index)

    student, teacher = net(), net()

    def fit(pictures: Any, folder: Path) -> str:
        given = {"student": student, "teacher": teacher, "train": loader(pictures, shuffle=True), "classes": 4}
        return fingerprint(distil(**given, epochs=2, folder=folder, checkpoint_every=0.0))

    with pytest.raises(ConnectionError):
        fit(Stops(*PICTURES.tensors), tmp_path / "cut")
    assert fit(PICTURES, tmp_path / "cut") == fit(PICTURES, tmp_path / "whole")


def test_features_by_dotted_names() -> None:
    networks = {role: Adapted(net(), stages=("0", "2")) for role in ("student", "teacher")}
    assert isinstance(distil(**networks, soft="at"), nn.Sequential)


def test_a_split_of_ours() -> None:
    student = distil(method="supervised", train=toys.toy_split(), student="cnn-4-6", teacher=None)
    with torch.no_grad():
        assert student(toys.toy_split().test.pixels()).logits.shape[1] == toys.toy_split().classes


class Particular(nn.Module):
    """A teacher that takes pictures of its own normalisation and size only."""

    def __init__(self, mean: float, std: float, size: int) -> None:
        super().__init__()
        self.mean, self.std, self.size, self.net = (mean,) * 3, (std,) * 3, size, net()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images * self.std[0] + self.mean[0]
        if not (pixels.min() >= -1e-4 and pixels.max() <= 1.0001) or images.shape[2:] != (self.size, self.size):
            raise ValueError("not my pictures")
        return self.net(images)


def test_each_teacher_has_its_own_normalisation_and_size() -> None:
    bright, dark = Particular(0.9, 0.01, 8), Particular(0.0, 9.0, 6)
    bytes_ = TensorDataset((255 * IMAGES).byte(), torch.arange(48) % 4)
    for data in (bytes_, PICTURES, loader()):
        assert isinstance(distil(teacher=[bright, dark], train=data), nn.Sequential)
    adapted = Adapted(bright, stages=("net.0", "net.2"))
    assert distil(student=Adapted(net(), stages=("0", "2")), teacher=adapted, train=bytes_, soft="at")
    said = list[str]()
    normalised = TensorDataset((IMAGES - 0.9) / 0.01, torch.arange(48) % 4)
    distil(teacher=bright, train=normalised, progress=lambda progress: said.append(progress.text))
    assert any("of Particular are not used, because the pictures are normalised already" in text for text in said)


def test_a_loaded_student_as_a_teacher(tmp_path: Path) -> None:
    bytes_ = TensorDataset((255 * IMAGES).byte(), torch.arange(48) % 4)
    options: dict[str, Any] = {"method": "supervised", "teacher": None, "student": "cnn-4-6", "train": bytes_}
    distil(**options, folder=tmp_path / "big")
    said = list[str]()
    for teacher in (mulde.vision.load(tmp_path / "big"), str(tmp_path / "big")):
        distil(
            teacher=teacher, train=bytes_, valid=bytes_, progress=lambda progress: said.append(progress.text)
        )  # fmt: skip
    first, second = [text for text in said if text.startswith("teacher: accuracy")]
    assert first == second


REFUSED = [
    ({"train": []}, "expected pictures with labels, but the list has none"),
    ({"train": TensorDataset(IMAGES, torch.zeros(48).long())}, "at least two classes"),
    ({"teacher": net(7)}, r"teacher: expected logits of 4 classes, got shape \(2, 7\).*teaches by features: cbd"),
    ({"student": nn.Conv2d(3, 4, 3)}, "student: expected a module that returns logits"),
    ({"train": TensorDataset(IMAGES[:, :1], torch.arange(48) % 4)}, r"module fails on images of shape \(2, 1, 8, 8\)"),
    ({"soft": "fitnet"}, "reads stages features, which the module does not return"),
    ({"student": "cnn-4-6", "teacher": "cnn-4-6", "soft": "fitnet", "hint_stage": 2}, "the student has 2 stages"),
    ({"missing": 4}, "class 4 cannot be left out of 4 classes, counted from 0"),
    ({"train": loader(TensorDataset(IMAGES, torch.arange(48))), "classes": 4}, "label 11, but there are 4 class names"),
    ({"train": loader(TensorDataset(IMAGES)), "classes": 4}, "expected batches of pictures and labels"),
    ({"train": loader(TensorDataset(IMAGES[:0], IMAGES[:0, 0, 0, 0].long())), "classes": 4}, "the loader has none"),
    ({"method": "fedntd", "teacher": None, "train": loader()}, "the method makes the partition of its batches itself"),
    ({"method": "lad", "student": "cnn-4-6", "teacher": "cnn-4-6"}, "trained on images with boxes"),
    ({"method": "jitnet"}, "jitnet follows a video"),
    ({"epochz": 3}, 'no option called "epochz"; nearest: epochs'),
    ({"student": "resnt8"}, "resnt8: no file, folder or network of this name"),
    ({"networks": {"pear": net()}}, 'no role called "pear"; the method has student, teacher'),
    ({"select": "valid"}, "there is no validation part; leave it out"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=lambda value: str(value)[:30])
def test_refused_before_the_first_step(changes: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mulde.engine.update.Update.apply", lambda *_: pytest.fail("a step was made"))
    with pytest.raises(UsageError, match=sentence):
        distil(**changes)


def test_a_loader_that_ends_early() -> None:
    class Short:
        def __len__(self) -> int:
            return 4

        def __iter__(self) -> Any:
            return iter(list(loader())[:3])

    with pytest.raises(UsageError, match="a length of 4 batches, but ended after 3"):
        distil(train=Short())
