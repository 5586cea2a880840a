"""Bundles of students: weights, description, metrics and model card.

    original = Original.open(Path("runs/small"))
    packed = pack(original, "small", "int8")
    packed.write(Path("small.zip"))

Metrics are measured on the content of the bundle, where the training data are found.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kge_data.printing import printable
from mulde.errors import UsageError
from mulde.files import utf8
from mulde.storage import container
from mulde.storage.format import WEIGHTS
from mulde.vision.inference.answers import Outputs
from mulde.vision.inference.evaluation import MAIN, evaluate
from mulde.vision.inference.labelled import Labelled, labelled
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.storage import bundle
from mulde.vision.storage.model_card import card
from mulde.vision.storage.quantisation import Stored
from mulde.vision.storage.student import Student, student_files
from mulde.vision.storage.weights import refilled

MEASURED = ("valid", "test")
Metrics = dict[str, dict[str, float]]
"""Part -> metric -> value."""


@dataclass(frozen=True)
class Original:
    """A student to be packed, with its description."""

    place: Path
    student: Student
    description: dict[str, Any]
    data: str | None = None
    """Labelled images for the metrics; None: those of the training."""
    tell: Callable[[str], object] = print
    """Receives remarks."""

    @cached_property
    def parts(self) -> dict[str, Labelled]:
        """The validation and test part of the data; empty where the data are not found."""
        try:
            return {
                part: labelled(self.torch, self.description, self.data, part)  # type: ignore[arg-type]
                for part in MEASURED
            }
        except UsageError as error:
            if self.data is not None:
                raise
            self.tell(f"metrics are not measured: {error}")
            return {}

    @cached_property
    def torch(self) -> TorchOutputs:
        """The student by torch."""
        return TorchOutputs(self.student)

    @cached_property
    def metrics(self) -> Metrics:
        """Metrics of the student."""
        return self.measure(self.torch)

    def measure(self, model: Outputs) -> Metrics:
        """Metrics by part of another form of the student."""
        return {
            part: {name: value for name, value in evaluate(model, data).items() if isinstance(value, float)}
            for part, data in self.parts.items()
        }


@dataclass(frozen=True)
class Packed:
    """A bundle in memory, not yet written."""

    manifest: dict[str, Any]
    files: dict[str, bytes]
    task: str

    def loss(self) -> tuple[str, float, float] | None:
        """Part, first metric of the original and of the bundle; None if they were not measured."""
        before, after = self.manifest["metrics_before"], self.manifest["metrics"]
        part = next((part for part in MEASURED if part in before and part in after), None)
        return None if part is None else (part, before[part][MAIN[self.task]], after[part][MAIN[self.task]])

    def refuse_above(self, most: float) -> None:
        """Raise UsageError if the loss on the validation part is above ``most``."""
        found = self.loss()
        if found is not None and found[1] - found[2] > most:
            raise UsageError(
                f"{self.manifest['stored']} loses {found[1] - found[2]:.4f} of the {found[0]} "
                f"{MAIN[self.task].replace('_', ' ')} ({found[1]:.4f} to {found[2]:.4f}), more than --max-loss {most:g}"
                "; nothing was written; allow more, or keep more bits"
            )

    def write(self, place: Path) -> None:
        """Write the bundle atomically: a zip if the path ends in .zip, otherwise a folder."""
        container.write(place, self.manifest, self.files)


def pack(original: Original, name: str, stored: Stored = "float32") -> Packed:
    """A bundle of a student.

    Parameters
    ----------
    original
        The student.
    name
        Name of the bundle.
    stored
        Precision of the weights; "float32" keeps that of the network.

    Raises
    ------
    UsageError
        If the weights do not fit the precision.
    """
    try:
        files = student_files(original.student, original.description, stored)
    except ValueError as error:
        raise UsageError(f"{original.place}: {error}; choose another precision") from error
    metrics = original.metrics
    if stored != "float32":
        student = replace(original.student, network=refilled(original.student.network, files[WEIGHTS]))
        metrics = original.measure(TorchOutputs(student))
    return assemble(original, name, bundle.KIND, stored, files, metrics)


def assemble(
    original: Original, name: str, kind: str, stored: str, files: Mapping[str, bytes], metrics: Metrics
) -> Packed:
    """A bundle of these files, with manifest and model card."""
    about = original.description
    manifest: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "summary": summary(about, stored),
        "stored": stored,
        "metrics": metrics,
        "metrics_before": original.metrics,
        "versions": {package: importlib.metadata.version(package) for package in ("mulde", "torch", "numpy")},
    }
    text = printable(card(manifest, about, sum(map(len, files.values()))))
    return Packed(manifest, {**files, container.CARD: utf8(text)}, about["task"])


def summary(about: Mapping[str, Any], stored: str) -> str:
    """A line on a student."""
    made = about["architecture"]
    network = made.get("name") or made["made_by"]
    return (
        f"{network}, {about['method']}, {about['parameters']:,} parameters, {stored}, {len(about['classes'])} classes"
    )
