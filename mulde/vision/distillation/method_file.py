"""Method files for images: found by name in the catalogue, or by the path of the user's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from mulde import catalogue, user_code
from mulde.config import Size, from_dict, hints_of
from mulde.engine.protocol import Needs, Role
from mulde.errors import UsageError, unknown
from mulde.vision.data.images import Split
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.options import Training

NEEDS = Needs("images", {"student": Role("logits")})
"""Needs of a file that does not declare any."""
PRESETS = ("recommended", "paper")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of a method file without a Config."""

    student: str = "resnet20"
    """The student, see `mulde.vision.models.networks`."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    training: Training = field(default_factory=Training)
    """Epochs, batches and optimiser."""


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, nn.Module]:
    """A new student, and copies of the given networks."""
    channels = getattr(config, "channels", Config.channels)
    new = {"student": lambda: classifier("student", config.student, data, channels)}
    others = {role: nn.Identity for role in given if role != "student"}
    return by_role(given, {**new, **others}, teachers=[role for role in others if role == "teacher"])


def open_method(name: str | Path) -> ModuleType:
    """The module of a method, by name or by the path of a Python file with a function `build`, which is run.

    What a file of the user's leaves out, NEEDS, Config and networks, is that of supervised training.

    Raises
    ------
    UsageError
        For an unknown name (with the nearest), a method for other data, or a file that cannot be run.
    """
    if not str(name).endswith(".py"):
        path = catalogue.path_of("methods", str(name))
        if path not in catalogue.shelf_files(catalogue.IMAGE_METHODS):
            raise UsageError(f"{path.stem} is a method for graphs; methods for images are {', '.join(names())}")
        return _on_pictures(catalogue.module_at(path), path)
    path = Path(name)
    module = user_code.method_in(path)
    _refuse_unused_predict(module, path)
    for declared, default in (("NEEDS", NEEDS), ("Config", Config), ("networks", networks)):
        if not hasattr(module, declared):
            setattr(module, declared, default)
    if not is_dataclass(module.Config):
        raise UsageError(f"Config of {path} should be a dataclass")
    return _on_pictures(module, path)


def _refuse_unused_predict(module: ModuleType, path: Path) -> None:
    """Raises UsageError for a `predict` of one's own beside the `exported` of the base class."""
    for found in user_code.own_classes(module):
        own = vars(found)
        if issubclass(found, ClassifierMethod) and "predict" in own and "exported" not in own:
            raise UsageError(
                f"{path}: predict of {found.__name__} has no effect, because the network of `exported`, the student, "
                "is evaluated and kept; leave predict out, or let exported return a network that computes it"
            )


def _on_pictures(module: ModuleType, path: Path) -> ModuleType:
    """The module. Raises UsageError for a method on videos."""
    if module.NEEDS.data not in ("images", "boxes"):
        raise UsageError(
            f"{path.stem} follows a video: `mulde stream VIDEO --teacher TEACHER` trains and keeps its student"
        )
    return module


def names() -> list[str]:
    """Names of the methods for images."""
    return [path.stem for path in catalogue.shelf_files(catalogue.IMAGE_METHODS)]


def configured(method: ModuleType, preset: str = "recommended", **options: Any) -> Any:
    """The Config of a method with the values of a preset; keywords change single options, by name.

    Parameters
    ----------
    preset
        recommended: networks and schedules for one computer, from ``RECOMMENDED`` of the method's file. paper: the
        defaults of its Config.

    Raises
    ------
    UsageError
        For an unknown preset or option, or an impossible value.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS, "mulde distil --help-all")
    if wrong := set(options) - set(hints_of(method.Config)):
        raise unknown(
            "option", min(wrong), hints_of(method.Config), f"mulde distil --method {method_name(method)} --help-all"
        )
    chosen = dict(getattr(method, "RECOMMENDED", {})) if preset == "recommended" else {}
    return from_dict(method.Config, {**chosen, **options}, "options")


def method_name(method: ModuleType) -> str:
    """Name of a method: that of its file."""
    return Path(str(method.__file__)).stem
