"""Students: trained image networks with all that is needed to use them, saved in a folder and opened again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from mulde.engine.protocol import Task
from mulde.errors import UsageError
from mulde.files import as_json, make_folder, write_atomically
from mulde.storage.archive import Folder
from mulde.storage.format import DESCRIPTION, FORMAT, WEIGHTS
from mulde.vision.storage.description import KIND, describe, parsed
from mulde.vision.storage.weights import read_network, stored_architecture, stored_tables


@dataclass(frozen=True)
class Student:
    """A trained network and its input."""

    network: nn.Module
    """Returns `Features`, or is a detector; pixels are standardised first."""
    task: Task
    """What the network is for."""
    classes: tuple[str, ...]
    """Names of the k classes in the order of the logits."""
    channels: int
    """1 for grey, 3 for colour."""
    size: tuple[int, int] | None
    """Rows and columns of the images that it was trained on; None: any."""
    mean: tuple[float, ...]
    """Mean of every channel of pixels in [0, 1], which is subtracted; 0 without standardisation."""
    deviation: tuple[float, ...]
    """Deviation of every channel, by which pixels are divided then; 1 without standardisation."""


def save_student(folder: Path, student: Student, about: Mapping[str, Any]) -> None:
    """Write a student into a folder; every file atomically, the description last.

    Parameters
    ----------
    about
        ``method`` (its name), ``data`` (``source``, ``name`` and ``checksum``), and optionally ``settings``,
        ``metrics`` and other values that JSON can hold.

    Raises
    ------
    UsageError
        If the classes, channels or normalisation do not fit each other, or ``about`` lacks a key.
    """
    files = student_files(student, about)
    make_folder(folder)
    for name, content in files.items():
        write_atomically(folder / name, content)


def student_files(student: Student, about: Mapping[str, Any]) -> dict[str, bytes]:
    """Contents of both files, weights first; parameters and errors as for `save_student`."""
    weights = save(stored_tables(student.network))
    description = {
        **about,
        "format": FORMAT,
        "kind": KIND,
        "task": student.task,
        "architecture": stored_architecture(student.network),
        "classes": list(student.classes),
        "input": {"channels": student.channels, "size": None if student.size is None else list(student.size)},
        "normalisation": {"mean": list(student.mean), "deviation": list(student.deviation)},
        "parameters": sum(parameter.numel() for parameter in student.network.parameters()),
        "weights": hashlib.sha256(weights).hexdigest(),
    }
    content = as_json(description)
    parsed(content, DESCRIPTION)
    return {WEIGHTS: weights, DESCRIPTION: content}


def open_student(place: Path | str, network: nn.Module | None = None) -> Student:
    """Read a student; its network is in eval mode.

    Parameters
    ----------
    place
        Folder of a student, or a bundle.
    network
        A new network of the kind that was trained, where it is one of your own. It gets the weights.

    Raises
    ------
    UsageError
        If there is no student, its format is another one, a file is damaged, or its network is one of your own and
        ``network`` is not given or has other weights.
    """
    place = Path(place)
    description = describe(place)
    where = f"{place / WEIGHTS}"
    with Folder(place).open(WEIGHTS) as stream:
        found = read_network(description["architecture"], stream, network, where)
        if stream.digest() != description["weights"]:
            raise UsageError(
                f"{where}: its checksum is not the one in {DESCRIPTION}; the file is damaged or belongs to another "
                "model; copy both files again, or repeat the training command in a new folder"
            )
    size = description["input"]["size"]
    return Student(
        found.eval(),
        description["task"],
        tuple(description["classes"]),
        description["input"]["channels"],
        None if size is None else (size[0], size[1]),
        tuple(map(float, description["normalisation"]["mean"])),
        tuple(map(float, description["normalisation"]["deviation"])),
    )
