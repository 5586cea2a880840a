"""Watermark of image teachers: every method that reads logits distils it, and it is found with the key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mulde import catalogue
from mulde.engine import Record
from mulde.engine.checkpoint import ConfigurationChanged
from mulde.errors import UsageError
from mulde.vision.inference.watermark import watermark_of
from mulde.vision.methods import kd
from mulde.vision.models import network
from mulde.vision.models.initial import TEACHERS
from mulde.vision.training.options import Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from mulde.vision.training.watermark import Marked, Watermark, carriers, patterns
from tests.vision import toys


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.txt"
    path.write_text("a secret")
    return path


def of_images() -> list[ModuleType]:
    found = [catalogue.module_at(path) for path in catalogue.shelf_files(catalogue.IMAGE_METHODS)]
    return [module for module in found if module.NEEDS.data == "images"]


def reads_logits(module: ModuleType) -> bool:
    return any(role in TEACHERS and module.NEEDS.roles[role].output == "logits" for role in module.NEEDS.roles)


def config_of(module: ModuleType, **training: Any) -> Any:
    known = vars(module.Config())
    small = {"student": "cnn-4-6", "teacher": ("cnn-4-6",) if isinstance(known.get("teacher"), tuple) else "cnn-4-6"}
    if str(known.get("student")).startswith("deit-"):
        small["student"] = "deit-8-2-2-patch4"
    changes = {name: value for name, value in small.items() if name in known}
    return replace(module.Config(**changes), training=Training(1, 12, "none", **training))


@pytest.mark.parametrize("module", of_images(), ids=lambda module: module.__name__.rpartition(".")[2])
def test_methods_that_read_logits_distil_the_mark_and_others_refuse_it(module: ModuleType, key: Path) -> None:
    marked = config_of(module, watermark=Watermark(watermark=key))
    if not reads_logits(module):
        with pytest.raises(UsageError, match="methods that read the logits of a teacher"):
            run_method(module, marked, toys.toy_split(), Session(0))
        return
    losses = []
    for config in (config_of(module), marked):
        method, feed = toys.built(module, config, toys.data_of(module))
        torch.manual_seed(0)
        found = method.eval().losses(next(iter(feed)), toys.BEGINNING)
        losses.append({name: value.item() for name, value in found.items()})
    changed = {name for name, value in losses[0].items() if losses[1][name] != value}
    hard = module.__name__.endswith("deit")  # its default reads only the first class, which stays the same
    assert changed == (set() if hard else {"student/soft"})


def test_features_have_no_mark(key: Path) -> None:
    with pytest.raises(UsageError, match="methods that read the logits"):
        run_method(
            kd, replace(config_of(kd, watermark=Watermark(watermark=key)), soft="rkd"), toys.toy_split(), Session(0)
        )
    with pytest.raises(UsageError, match="the method reads its pooled"):
        Watermark(watermark=key).on(network("cnn-4", 3, 1), "pooled")


def test_a_carrier_does_not_depend_on_brightness_and_contrast() -> None:
    images = toys.toy_split().train.pixels(slice(6))
    keys = patterns([b"one", b"two"], 1)
    found = carriers(keys, images)
    assert found.shape == (2, 6) and torch.allclose(found, carriers(keys, 3 * images - 2), atol=1e-4)
    assert not torch.allclose(found[0], found[1], atol=0.1)
    assert torch.allclose(found[1], carriers(patterns([b"two"], 1), images)[0], atol=1e-6)


class Suspect:
    """The outputs of a network."""

    task, classes, transform = "classify", tuple("abcdefgh"), None

    def __init__(self, net: Any) -> None:
        self.net = net

    @torch.no_grad()
    def compute(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        return [self.net(torch.from_numpy(images)).logits.numpy()]


def test_the_key_is_found_in_a_marked_network_and_no_other_key(key: Path, tmp_path: Path) -> None:
    images, other = toys.toy_split().train, tmp_path / "other.txt"
    other.write_text("another secret")
    torch.manual_seed(0)
    net = network("cnn-8", len(images.classes), 1).eval()
    owner = Suspect(Marked(net, b"a secret", 0.3))
    owner.classes = images.classes
    found = watermark_of(owner, images, key)  # type: ignore[arg-type]
    assert found["p_value"] == 0.001 and found["correlation"] > 0.8
    assert watermark_of(owner, images, other)["p_value"] > 0.05  # type: ignore[arg-type]
    owner.net = net
    assert watermark_of(owner, images, key)["p_value"] > 0.05  # type: ignore[arg-type]
    other.write_text(" \n")
    with pytest.raises(UsageError, match="found an empty one"):
        watermark_of(owner, images, other)  # type: ignore[arg-type]
    owner.classes = ("a", "b")
    with pytest.raises(UsageError, match="3 classes or more"):
        watermark_of(owner, images, key)  # type: ignore[arg-type]


def test_marked_logits_are_those_of_the_teacher_in_order() -> None:
    images = toys.toy_split().train.pixels(slice(12))
    net = network("cnn-8", 5, 1).eval()
    with torch.no_grad():
        plain, marked = net(images).logits, Marked(net, b"k", 0.2)(images).logits
    assert torch.equal(plain.argmax(1), marked.argmax(1)) and not np.allclose(plain.log_softmax(1), marked)


def test_another_key_in_the_same_file_is_noticed(tmp_path: Path) -> None:
    data, key = toys.toy_split(), tmp_path / "key.txt"
    config = config_of(kd, watermark=Watermark(watermark=key))

    def fit() -> Record:
        return Session(0, tmp_path / "run").fit(kd.build(config, data, kd.networks(config, data, {})), config)

    key.write_text("first")
    assert not fit().reused and fit().reused
    key.write_text("second")
    with pytest.raises(ConfigurationChanged, match=r"watermark: was .*key\.txt \(SHA-256 .*, is .*key\.txt \(SHA-256 "):
        fit()
