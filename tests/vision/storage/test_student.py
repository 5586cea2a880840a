"""Students in folders: saved, opened, and refused with a sentence."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mulde import catalogue
from mulde.errors import UsageError
from mulde.vision.models import Adapted, network
from mulde.vision.models.generator import Generator
from mulde.vision.models.prototypes import PrototypeBank
from mulde.vision.storage.student import Student, open_student, save_student
from tests.vision.toys import data_of, toy_split

ABOUT = {"method": "supervised", "data": {"source": "shapes", "name": "shapes", "checksum": "0" * 64}}
METHODS = {name: path for name, path in catalogue.entries("methods").items() if "vision" in path.parts}


def student_of(net: nn.Module) -> Student:
    return Student(net, "classify", toy_split().train.classes, 1, (8, 8), (0.5,), (0.25,))


@pytest.mark.parametrize("method", METHODS)
def test_networks_of_every_method_are_made_again(method: str, tmp_path: Path) -> None:
    module = catalogue.module_at(METHODS[method])
    config, data = module.STUDY.config if hasattr(module, "STUDY") else module.Config(student="cnn-4-8"), None
    data = data_of(module)
    for role, net in module.networks(config, data, {}).items():
        if isinstance(net, Generator | PrototypeBank):
            continue  # it is not kept
        net = net[0] if isinstance(net, nn.ModuleList) else getattr(net, "network", net)
        save_student(tmp_path / role, student_of(net), ABOUT)
        found = open_student(tmp_path / role)
        assert not found.network.training
        expected = net.state_dict()
        assert expected.keys() == found.network.state_dict().keys()
        assert all(torch.equal(expected[key], value) for key, value in found.network.state_dict().items())


def test_a_network_of_the_users_is_given_again(tmp_path: Path) -> None:
    def own() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 8))

    net = Adapted(own(), stages=("0",))
    save_student(tmp_path / "run", student_of(net), ABOUT)
    with pytest.raises(UsageError, match=r"because torch\.nn\.modules\.container\.Sequential is a network of your own"):
        open_student(tmp_path / "run")
    with pytest.raises(UsageError, match="not the weights of this network: expected a table of shape"):
        open_student(tmp_path / "run", nn.Sequential(nn.Linear(4, 4)))
    found = open_student(tmp_path / "run", own())
    images = toy_split().valid.pixels()
    assert torch.equal(found.network(images).logits, net.eval()(images).logits)


def test_a_network_that_was_changed_counts_as_the_users(tmp_path: Path) -> None:
    net = network("cnn-4-8", 8, 1)
    net.classifier = nn.Linear(8, 3)
    save_student(tmp_path, student_of(net), ABOUT)
    with pytest.raises(UsageError, match=r"because mulde\.vision\.models\.staged\.StagedNetwork is"):
        open_student(tmp_path)


CHANGES = [
    (lambda found: found["architecture"].update(name="cnn-4-9"), "not the weights of this network"),
    (lambda found: found["architecture"].update(name="resnet99999998"), "which is too large"),
    (lambda found: found["architecture"].update(classes=10**30), "which is too large"),
    (lambda found: found["architecture"].update(made_by="os.system"), "found one made by 'os.system'"),
    (lambda found: found["architecture"].update(further=3), "network cannot be made"),
    (lambda found: found.update(weights="0" * 64), "its checksum is not the one in model.json"),
    (lambda found: found.update(kind="graph"), "expected a model of images"),
    (lambda found: found.update(format="mulde model 1"), "expected format 'mulde model 2'"),
    (lambda found: found.pop("task"), "expected the key task"),
    (lambda found: found["normalisation"].update(mean=[0.0, 0.0]), "expected mean and deviation of 1 channels"),
    (lambda found: found["normalisation"].update(deviation=[0.0]), "expected a number from 1e-12"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=lambda value: value if isinstance(value, str) else "")
def test_descriptions_of_strangers(change, words: str, tmp_path: Path) -> None:
    save_student(tmp_path, student_of(network("cnn-4-8", 8, 1)), ABOUT)
    found = json.loads((tmp_path / "model.json").read_text())
    del found["file_checksum"]
    change(found)
    (tmp_path / "model.json").write_text(json.dumps(found))
    with pytest.raises(UsageError, match=words) as caught:
        open_student(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
