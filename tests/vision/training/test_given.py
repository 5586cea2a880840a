"""Networks that are given to a method: their number and outputs, several teachers, and teachers against chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet
from mulde.vision.methods import cbd, kd, lad
from mulde.vision.models import network
from mulde.vision.models.averaged import Averaged
from mulde.vision.models.own_classes import WithClasses
from mulde.vision.models.staged import Features
from mulde.vision.training import given
from mulde.vision.training.chance import better_than_chance
from mulde.vision.training.given import prepared
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from mulde.vision.training.teachers import evaluate_teachers
from tests.vision import toys

CONFIG = kd.Config(student="cnn-4-6", training=Training(1, 12, "none", OptimizerSteps("adam", 1e-3)))


def net(seed: int = 0, classes: int = 8) -> nn.Module:
    torch.manual_seed(seed)
    return network("cnn-4-6", classes, 1)


def pixels() -> Tensor:
    return toys.toy_split().valid.pixels()


def test_several_teachers_are_averaged_as_probabilities() -> None:
    networks = {"teacher": [net(0), net(1)]}
    mean = prepared(kd, CONFIG, toys.toy_split(), networks)["teacher"].eval()
    each = [module.eval()(pixels()).logits.softmax(1) for module in networks["teacher"]]
    torch.testing.assert_close(mean(pixels()).logits.softmax(1), (each[0] + each[1]) / 2)
    trained = run_method(kd, CONFIG, toys.toy_split(), Session(), networks)
    assert isinstance(trained.networks["teacher"], Averaged)
    with pytest.raises(UsageError, match="teacher: the method reads pooled features, which the module does not"):
        prepared(kd, replace(CONFIG, soft="rkd"), toys.toy_split(), networks)


def test_numbers_of_networks() -> None:
    found = prepared(cbd, cbd.Config(), toys.toy_split(), {"teacher": [net(0), net(1)], "student": [net(2)]})
    assert len(found["teacher"]) == 2 and isinstance(found["student"], nn.Module)
    for role, networks, message in (
        ("student", [net(), net()], "student: expected 1 to 1 networks, got 2"),
        ("teacher", [], "teacher: expected 1 to any number networks, got 0"),
        ("teacher", [3], "teacher: expected a torch module, got int; give an nn.Module"),
        ("partner", net(), 'no role called "partner"; the method has student, teacher'),
    ):
        with pytest.raises(UsageError) as error:
            prepared(cbd, cbd.Config(), toys.toy_split(), {role: networks})
        assert str(error.value) == message


def test_a_teacher_with_other_classes_teaches_by_features() -> None:
    """Never by logits; the refusal names the methods that can, and those train."""
    for teacher in (net(classes=5), WithClasses(net(classes=5), [])):
        with pytest.raises(UsageError, match=r"other classes; such a teacher teaches by features: .*kd --soft rkd"):
            run_method(kd, CONFIG, toys.toy_split(), Session(), {"teacher": teacher})
    for soft in ("fitnet", "at", "similarity", "rkd"):
        config = replace(CONFIG, soft=soft, hint_stage=0)
        trained = run_method(kd, config, toys.toy_split(), Session(), {"teacher": WithClasses(net(classes=5), [])})
        assert trained.record is not None and trained.record.steps == 6 and trained.networks
    with pytest.raises(UsageError, match="student: expected logits of 8 classes"):
        prepared(kd, replace(CONFIG, soft="rkd"), toys.toy_split(), {"student": net(classes=5)})
    assert {"cbd", "kd --soft fitnet", "kd --soft rkd"} <= set(given.by_features())


class Fixed(nn.Module):
    """Returns the class of every validation image, or another one of it."""

    def __init__(self, images: ImageSet, classes: Tensor) -> None:
        super().__init__()
        self.register_buffer("known", images.pixels().flatten(1))
        self.register_buffer("classes", classes)

    def forward(self, images: Tensor) -> Features:
        rows = torch.cdist(images.flatten(1), self.known).argmin(1)
        logits = nn.functional.one_hot(self.classes[rows], 8).float()
        return Features((), logits.new_empty(len(logits), 0), logits)


def test_teachers_are_evaluated_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    split = toys.toy_split()
    valid = split.valid
    good, wrong = Fixed(valid, valid.labels), Fixed(valid, (valid.labels + 1) % 8)
    said = list[str]()
    found = evaluate_teachers({"teacher": good, "student": wrong}, split, said.append)
    assert found == {"teacher": 1.0} and said == [f"teacher: accuracy 1.0000 on {len(valid)} validation images"]
    found = evaluate_teachers({"teacher": [good, wrong]}, split, said.append)
    assert found == {"teacher 1": 1.0, "teacher 2": 0.0}
    assert said[-1].startswith("teacher 2 is no better than chance on the validation images; check its classes")
    mean = evaluate_teachers({"teacher": Averaged([good, good])}, split, said.append)
    assert mean == {"mean of the teachers": 1.0, "teacher 1": 1.0, "teacher 2": 1.0}
    assert evaluate_teachers({"teacher": WithClasses(good, [])}, split, said.append) == {}
    assert said[-1] == "teacher: its classes are not those of the data; it teaches by its features"
    seen = list[str]()
    monkeypatch.setattr(Session, "report", lambda self, text: seen.append(text))
    monkeypatch.setattr(Session, "fit", lambda *_, **__: seen.append("fit"))
    run_method(kd, CONFIG, split, Session(), {"teacher": net()})
    assert seen[0].startswith("teacher: accuracy") and seen[-1] == "fit"


def test_chance() -> None:
    """For balanced classes 1 / k; always the most frequent class is no better; a few images prove nothing."""
    labels = torch.arange(4).repeat(25)
    half = torch.where(torch.arange(100) % 8 < 4, labels, (labels + 1) % 4)  # 52 of 100 right
    assert better_than_chance(half, labels) and not better_than_chance((labels + 1) % 4, labels)
    rare = torch.tensor([0] * 95 + [1] * 5)
    assert not better_than_chance(torch.zeros(100, dtype=torch.int64), rare)
    assert better_than_chance(rare, rare) and not better_than_chance(labels[:2], labels[:2])
    # 34 of 100 at a chance of 1 / 4: p = .028; 36: p = .009
    for right, better in ((34, False), (36, True)):
        guess = torch.where(torch.arange(100) < right, labels, (labels + 1) % 4)
        assert better_than_chance(guess, labels) is better


def test_detectors_are_evaluated_by_average_precision() -> None:
    said = list[str]()
    split = toys.boxed_split()
    config = replace(lad.STUDY.config, student="cnn-4-6-8", teacher="cnn-4-6-8")
    teacher = lad.networks(config, split, {})["teacher"]
    assert evaluate_teachers({"teacher": teacher}, split, said.append)["teacher"] >= 0
    assert "average precision" in said[0]


def test_a_given_network_is_copied() -> None:
    teacher: Any = net()
    before = fingerprint(teacher)
    found = prepared(kd, CONFIG, toys.toy_split(), {"teacher": teacher})["teacher"]
    with torch.no_grad():
        next(found.parameters()).add_(1)
    assert fingerprint(teacher) == before
