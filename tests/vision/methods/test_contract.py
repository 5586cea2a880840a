"""The method contract, for every image method of the catalogue in the configuration of its study."""

from __future__ import annotations

import dataclasses
import importlib
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mulde import catalogue
from mulde.engine import (
    Callback,
    Clock,
    Method,
    OptimizerSpec,
    ScheduledNumbers,
    Trainer,
    WeightAverage,
    constant,
    linear,
)
from mulde.vision.ablation.study import VARIANTS
from mulde.vision.models.one_stage import DetectorShape
from tests.contracts.method import check_method
from tests.vision import toys


def methods() -> list[str]:
    """Every method on images."""
    return [path.stem for path in catalogue.shelf_files("mulde/vision/methods")]


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"mulde.vision.methods.{name}")


def small(config: Any) -> Any:
    """The same method with the smallest networks and batches."""
    known = {field.name for field in dataclasses.fields(config)}
    changes: dict[str, Any] = {}
    sizes: dict[str, Any] = {
        "student": "cnn-4-6-8",
        "partner": "cnn-3-4-5",
        "teacher": "cnn-6-8-10",
        "sides": (5.0, 9.0),
    }
    sizes |= {"trajectories": 1, "tasks": 2, "updates": 6}
    changes |= {field: value for field, value in sizes.items() if field in known}
    changes |= {"student": "resnet8", "channels": 4} if "drop_rate" in known else {}  # skips residual blocks
    if str(getattr(config, "student", "")).startswith("deit-"):
        changes["student"] = "deit-8-2-2-patch4"
    if str(getattr(config, "student", "")).startswith("vit-"):
        changes |= {"student": "vit-8-2-2-patch4", "teacher": "vit-12-2-2-patch4"}
    episode = {"ways": 2, "shots": 1, "queries": 1, "episodes": 6}
    changes |= {field: value for field, value in episode.items() if field in known}
    repeated = {field: value for field, value in vars(config).items() if field in ("teacher", "peer")}
    changes |= {
        role: (sizes.get(role, sizes["student"]),) * len(old)
        for role, old in repeated.items()
        if isinstance(old, tuple)
    }
    if isinstance(shape := getattr(config, "shape", None), DetectorShape):
        changes["shape"] = dataclasses.replace(shape, width=8)
    changes["training"] = dataclasses.replace(config.training, batch_size=12, epochs=1)
    return dataclasses.replace(config, **changes)


def built(name: str, **changes: Any) -> tuple[Method, Any]:
    """A method in a small configuration, and its feed."""
    module = module_of(name)
    study = getattr(module, "STUDY", None)
    config = dataclasses.replace(small(study.config if study else module.Config()), **changes)
    return toys.built(module, config, toys.data_of(module))


def made(name: str, **changes: Any) -> tuple[Method, Any]:
    method, feed = built(name, **changes)
    return method, next(iter(feed))


FURTHER: dict[str, list[dict[str, Any]]] = {
    "byot": [{}, {"exits": False}, {"alpha": 1.0}],
    "cosub": [{}, {"criterion": "bce"}, {"soft_weight": 0.0}],
    "sd_dropout": [{}, {"detach": True}, {"dropped_labels": True, "soft_weight": 0.0}],
    "cbd": [{}, {"alpha": 0.0}, {"augmented": 0, "teacher": ("cnn-6-8-10",), "student": "cnn-4-6-10"}],
    "simclrv2": [{}, {"alpha": 0.5}, {"alpha": 0.0}, {"kept": 0}, {"squared": True, "temperature": 0.5}],
    "jitnet": [{}, {"statistics": "running"}, {"stride_min": 1, "stride_max": 1}],
    "dcm": [{}, {"heads": False}, {"cross_weight": 0.0}],
    "ffsd": [{}, {"peer": ("cnn-4-6-8",) * 3, "normalised_diversity": True, "diversity_weight": 0.1}],
    "lad": [
        {},
        {"shape": DetectorShape(width=8, anchor_scale=3.0, stages=3, extra=1, tower=2)},
        {"labels": "own"},
        {"soft_class_weight": 2.0, "soft_iou_weight": 10.0, "soft_box_weight": 1.3},
    ],
    "born_again": [{}, {"soft": "cwtm"}, {"soft": "dkpp", "alpha": 1.0}],
    "deit": [{}, {"target": "soft"}, {"alpha": 0.0}],
    "loss_landscape": [{}, {"follow_every": 1, "student": "cnn-6-8-10"}, {"soft_weight": 0.0, "cutmix": False}],
    "colad": [{}, {"roles": "fisher"}, {"roles": "own"}],
    "chen17": [{}, {"hard_weight": 1.0}, {"hint_weight": 0.0, "bounded": False}],
    "dogo": [{}, {"task": "simsiam"}, {"shared_views": True}, {"weight_a": 0.0}],
    "fs_ban": [{}, {"mutual_weight": 0.0}, {"learn_temperature": False}],
    "fedntd": [{}, {"beta": 0.0}, {"anchor": "untrained"}],
    "fedx": [{}, {"direction": "released"}, {"global_contrast_weight": 0.0, "global_relation_weight": 0.0}],
    "cudfkd": [{}, {"generated": False}],
    "proc_kd": [{}, {"distilled": False}],
    "kd": [
        {"soft": soft, "hard_weight": None, "soft_weight": None}
        for soft in ("kd", "dkd", "dist", "standardised", "fitnet", "at", "rkd", "similarity")
    ],
}
"""Configurations that are also examined, where a method has several forms of its losses; not a list of all methods."""
CASES = [(name, changes) for name in methods() for changes in FURTHER.get(name, [{}])]


@pytest.mark.parametrize(("name", "changes"), CASES, ids=lambda value: str(value))
def test_contract(name: str, changes: dict[str, Any]) -> None:
    first = changes == FURTHER.get(name, [{}])[0]  # ten updates by one form of each method
    check_method(lambda: made(name, **changes), optimizer=OptimizerSpec("adam", lr=2e-3), decreases=first)


@pytest.mark.parametrize("name", methods())
def test_what_is_exported_is_a_plain_network(name: str) -> None:
    """The same keys as a network that was made without the method, and the same outputs."""
    method, batch = made(name)
    for net in method.exported().values():
        plain: Any = toys.plain(net)
        assert plain.state_dict().keys() == net.state_dict().keys()
        plain.load_state_dict(net.state_dict())
        plain.eval(), net.eval()
        with torch.no_grad():
            ours, theirs = net(batch.images), plain(batch.images)
            if hasattr(net, "detect"):
                ours, theirs = net.detect(batch.images) + ours, plain.detect(batch.images) + theirs
        assert all(map(torch.equal, tensors(ours), tensors(theirs)))


def tensors(answer: Any) -> list[torch.Tensor]:
    """The tensors of a named tuple, those in tuples inside it too."""
    if isinstance(answer, torch.Tensor):
        return [answer]
    return [tensor for part in answer for tensor in tensors(part)]


@pytest.mark.parametrize("name", [name for name in methods() if hasattr(module_of(name), "STUDY")])
def test_the_variants_of_a_study_differ(name: str) -> None:
    """No row of a table repeats another; an ablation is left out where it is the baseline."""
    study = module_of(name).STUDY
    optional = {"weight 0", "longer"} - set(study.variants)
    assert tuple(study.variants) == tuple(variant for variant in VARIANTS if variant not in optional)
    assert study.variant("method") == study.config
    assert len({repr(study.variant(variant)) for variant in study.variants}) == len(study.variants)


class Snapshots(Callback):
    """Weights after every update, and the temperature of the method, where it has one."""

    def begin(self, method: Method, learners: Any, feed: Any) -> None:
        self.method, self.learners, self.temperatures = method, learners, list[float]()
        self.weights: list[list[torch.Tensor]] = []

    def after_update(self, clock: Clock) -> None:
        found = getattr(self.method, "temperature", 0.0)
        self.temperatures.append(0.0 if isinstance(found, torch.Tensor) else found)
        self.weights.append([p.detach().clone() for each in self.learners.values() for p in each.parameters])


@pytest.mark.parametrize("name", methods())
def test_averages_and_cycles(name: str) -> None:
    """The kept weights are the mean of those after two updates, and scheduled numbers reach the method."""
    method, feed = built(name)
    has_number = isinstance(getattr(method, "temperature", None), float | int)  # fs_ban learns its temperature
    own = {"method.temperature": linear(1.0, 3.0)} if has_number else {}
    numbers = ScheduledNumbers({"optimizer.weight_decay": constant(0.1), **own})
    seen, rate = Snapshots(), OptimizerSpec("sgd", lr=0.01)
    trainer = Trainer(optimizers=rate, callbacks=[WeightAverage("swa"), numbers, seen], progress=False)
    trainer.fit(method, list(islice(feed, 2)), epochs=1, name=None)
    assert seen.temperatures == ([1.0, 2.0] if own else [0.0, 0.0])
    kept = [p for each in seen.learners.values() for p in each.parameters]
    for parameter, first, second in zip(kept, *seen.weights, strict=True):
        assert torch.allclose(parameter, (first + second) / 2, atol=1e-6)


class Stopped(Exception):
    """Ends a training in the middle of an epoch, like a power cut."""


@pytest.mark.parametrize("name", methods())
def test_a_resumed_training_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    def fit(folder: Path, stop_at: int | None = None) -> Method:
        method, feed = built(name)
        losses = method.losses

        def until(batch: Any, clock: Clock) -> Any:
            if clock.step == stop_at:
                raise Stopped
            return losses(batch, clock)

        method.losses = until  # type: ignore[method-assign]
        every = 1e9 if stop_at is None else 0.0  # seconds between checkpoints; only the cut training needs some
        trainer = Trainer(folder=folder, optimizers=OptimizerSpec("adam"), checkpoint_every=every, progress=False)
        trainer.fit(method, feed, epochs=2)
        return method

    whole = fit(tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(tmp_path / "cut", stop_at=7)
    torch.manual_seed(99)
    resumed = fit(tmp_path / "cut").state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.state_dict().items())
