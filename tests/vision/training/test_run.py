"""Running a method of any file: its own `run`, one fit of its `build`, and given networks by role."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from mulde import catalogue
from mulde.engine import is_frozen
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.vision.methods import cbd, dcm, dogo, kd, simclrv2, supervised
from mulde.vision.models import Adapted, network
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.run import run_method, task_of
from mulde.vision.training.session import Session
from tests.vision import toys
from tests.vision.methods.test_contract import small

SHORT = Training(1, 12, "none", OptimizerSteps("adam", 1e-3))
PAIR: dict[str, Any] = {"student": "cnn-4-6", "training": SHORT}


def modules() -> dict[str, ModuleType]:
    return {path.stem: catalogue.module_at(path) for path in catalogue.shelf_files("mulde/vision/methods")}


def test_without_a_run_of_its_own_a_method_is_one_fit(tmp_path: Path) -> None:
    trained = run_method(dcm, dcm.Config(**PAIR, partner="cnn-3-4"), toys.toy_split(), Session(0, tmp_path))
    assert trained.task == "classify" and trained.record is not None and trained.record.epochs == 1
    assert (trained.student.widths, trained.networks["partner"].widths) == ((4, 6), (3, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_tasks() -> None:
    tasks = {name: task_of(module) for name, module in modules().items()}
    assert {tasks[name] for name in ("dogo", "fedx")} == {"embed"} and tasks["jitnet"] == "segment"
    assert {tasks[name] for name in ("lad", "colad", "chen17")} == {"detect"}
    assert {tasks[name] for name in ("kd", "simclrv2", "supervised")} == {"classify"}


def test_a_file_needs_no_more_than_build() -> None:
    mine = ModuleType("mine")
    mine.build = lambda config, data, networks: supervised.Supervised(networks["student"])  # type: ignore[attr-defined]
    config, net = supervised.Config(**PAIR), network("cnn-4-6", 8, 1)
    trained = run_method(mine, config, toys.toy_split(), Session(0), {"student": net})
    assert trained.student is not net and trained.task == "classify"
    with pytest.raises(UsageError, match="has no function build, which makes the method; add one"):
        run_method(supervised_without_build(), config, toys.toy_split(), Session(0))


def supervised_without_build() -> ModuleType:
    module = ModuleType("empty")
    module.__file__ = "empty.py"
    return module


def given() -> nn.Module:
    torch.manual_seed(0)
    return network("cnn-4-6", 8, 1)


@pytest.mark.parametrize("module", [kd, cbd, simclrv2], ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_given_teacher_is_used_as_it_is(module: Any, tmp_path: Path) -> None:
    """It is neither trained nor changed, and the student learns from a copy."""
    teacher = given()
    before = copy.deepcopy(teacher.state_dict())
    study = module.STUDY.shortened(0.01)
    networks = {"teacher": [teacher] if module is cbd else teacher}
    trained = run_method(module, small(study.config), toys.toy_split(), Session(0, tmp_path), networks)
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not is_frozen(teacher) and teacher.training
    for kept in trained.networks.values():
        assert kept is not teacher and fingerprint(kept) == fingerprint(teacher)


@pytest.mark.parametrize("module", [supervised, kd, dcm, dogo], ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_given_student_is_where_the_training_begins(module: Any) -> None:
    student = given()
    before = copy.deepcopy(student.state_dict())
    config = small(module.STUDY.config if hasattr(module, "STUDY") else module.Config())
    if hasattr(config, "heads"):
        config = replace(config, heads=False)  # they are made for the network of the config
    method, _ = toys.built(module, config, toys.toy_split(), {"student": student})
    own = method.exported()["student"].state_dict()
    assert all(torch.equal(value, before[key]) for key, value in own.items())
    with torch.no_grad():
        for parameter in method.exported()["student"].parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


def test_a_network_without_a_role() -> None:
    with pytest.raises(UsageError) as error:
        run_method(kd, kd.Config(**PAIR), toys.toy_split(), Session(0), {"partner": given()})
    assert str(error.value) == 'no role called "partner"; the method has student, teacher'


def test_other_initial_weights_are_another_fit(tmp_path: Path) -> None:
    config, data = supervised.Config(**PAIR), toys.toy_split()
    run_method(supervised, config, data, Session(0, tmp_path))
    with pytest.raises(UsageError, match=r"config\.initial"):
        run_method(supervised, config, data, Session(0, tmp_path), {"student": given()})


class Plain(nn.Module):
    """A user's module: two layers and plain logits."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        channels = toys.toy_split().train.channels
        self.body = nn.Sequential(nn.Conv2d(channels, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 7, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(7, classes)

    def forward(self, images: Any) -> Any:
        return self.head(self.body(images).mean((2, 3)))


def with_student(module: nn.Module, **options: Any) -> Any:
    config = kd.Config(student="cnn-4-6", teacher=("cnn-4-6",), training=SHORT, **options)
    return run_method(kd, config, toys.toy_split(), Session(), {"student": module})


def test_a_plain_module_is_adapted_and_copied() -> None:
    module = Plain(toys.toy_split().classes)
    before = fingerprint(module)
    student = with_student(module).student
    assert fingerprint(module) == before and fingerprint(student.module) != before


def test_features_of_a_plain_module_by_the_names_of_its_layers() -> None:
    module = Plain(toys.toy_split().classes)
    with pytest.raises(UsageError, match=r"student: the method reads stages features, .*Adapted\(module, stages="):
        with_student(module, soft="fitnet")
    student = with_student(Adapted(module, stages=("body.1", "body.3")), soft="fitnet").student
    assert student.widths == (5, 7)
    with pytest.raises(UsageError, match=r'no layer called "body\.9"; nearest: body'):
        Adapted(module, stages=("body.9",))


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"student: expected logits of \d+ classes, got shape \(2, 3\)"):
        with_student(Plain(3))
    with pytest.raises(UsageError, match="student: the module fails on images of shape"):
        with_student(nn.Linear(3, 3))
    with pytest.raises(UsageError, match=r"student: auxiliary heads are made for cnn-4-6, with stages of \(4, 6\)"):
        config = dcm.Config(**PAIR, partner="cnn-3-4", heads=True)
        run_method(dcm, config, toys.toy_split(), Session(), {"student": Plain(toys.toy_split().classes)})
