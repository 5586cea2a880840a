"""Labelled images for the evaluation of a student: in the form of its input, and with the ids of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data import loading
from mulde.vision.data.splitting import split
from mulde.vision.inference.answers import Outputs
from mulde.vision.inference.parts import Part
from mulde.vision.inference.transform import Transform

SHOWN = 5  # class names in a message


@dataclass(frozen=True)
class Labelled:
    """A part of a data set."""

    images: Any
    """The images; `Images.pixels` is the input of the student."""
    train: Any = None
    """The training part, where the set has one."""
    part: Part = "all"
    """The part that `images` are."""


def labelled(
    model: Outputs,
    description: Mapping[str, Any],
    spec: str | None = None,
    part: Part | None = None,
    *,
    skip_broken: bool = False,
    own_classes: bool = False,
) -> Labelled:
    """The images that a specification names, for a student.

    Parameters
    ----------
    model
        The student. Its size, channels and normalisation are the form of the images.
    description
        Its ``model.json``. Its training data are divided as in the training.
    spec
        The data, see `mulde.vision.data.loading`; None: those that the student was trained on.
    part
        None: the test part of data with official parts and of the training data, and all of other data.
    skip_broken
        Leave out pictures that cannot be read.
    own_classes
        Keep the classes of the data, which the student need not know.

    Raises
    ------
    UsageError
        If the data cannot be read, have classes that the student does not know, or have other channels.
    """
    own = description["data"]["source"]
    spec = own if spec is None else spec
    if not spec:
        raise UsageError("the student was trained on data in memory; name images with --data")
    if spec == own:  # pictures that the training left out
        skip_broken = skip_broken or description.get("settings", {}).get("skip_broken") is True
    images = in_form(model, spec, skip_broken=skip_broken)
    if model.task != "embed" and not own_classes:  # an embedding has no classes of its own
        images = _with_ids(images, model.classes, spec)
    if part is None:
        part = "test" if spec == own or images.parts or model.task == "embed" else "all"
    if part == "all":
        return Labelled(images)
    parts = split(images, _seed(description))
    if not len(getattr(parts, part)):
        raise UsageError(f"--data {spec}: there are no images in its {part} part; name another part with --split")
    return Labelled(getattr(parts, part), parts.train, part)


def in_form(model: Outputs, spec: str, *, skip_broken: bool = False, option: str = "--data") -> Any:
    """All images of a specification in the form of a student's input, with the classes that they have themselves.

    Raises
    ------
    UsageError
        If they cannot be read, or have other channels. option: named in the message.
    """
    given = model.transform
    images = _read(model.task, _named_in_form(given, spec), skip_broken)
    if images.channels != given.channels:
        raise UsageError(
            f"{option} {spec}: the student takes {given.channels} channels, and the images have {images.channels}; "
            "grey=1 makes one channel of three"
        )
    scale = tuple(torch.tensor(values).view(1, -1, 1, 1) for values in (given.mean, given.deviation))
    return replace(images, scale=scale)


def _seed(description: Mapping[str, Any]) -> int:
    """Seed of the division of the training data."""
    found = description["data"].get("seed", description.get("settings", {}).get("seed", 0))
    return found if isinstance(found, int) else 0


def _named_in_form(given: Transform, spec: str) -> str:
    """The specification with size and channels of the student, where it does not name them."""
    if given.size is not None and given.size[0] == given.size[1] and "size=" not in spec:
        spec += f",size={given.size[0]}"
    return spec + (",grey=1" if given.channels == 1 and "grey=" not in spec else "")


def _read(task: str, spec: str, skip_broken: bool) -> Any:
    doors = {"detect": "load_boxed", "segment": "load_masks"}
    load = getattr(loading, doors.get(task, "load"))
    return load(spec, skip_broken=True) if skip_broken else load(spec)


def _with_ids(images: Any, classes: tuple[str, ...], spec: str) -> Any:
    """The images with the ids of the student's classes, by their names."""
    if images.classes == classes:
        return images
    if unknown := [name for name in images.classes if name not in classes]:
        raise UsageError(
            f"--data {spec}: the student knows the classes {_listed(classes)}, and the data have {_listed(unknown)} "
            "beside them; rename them, or leave them out"
        )
    ids = torch.tensor([classes.index(name) for name in images.classes], dtype=images.labels.dtype)
    return replace(images, labels=_mapped(images.labels, ids), classes=classes)


def _mapped(labels: Tensor, ids: Tensor) -> Tensor:
    return torch.where(labels >= 0, ids[labels.clamp_min(0).long()], labels)


def _listed(names: Any) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
