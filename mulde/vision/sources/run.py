"""A network that was trained here: a run folder or a bundle."""

from __future__ import annotations

from pathlib import Path

from mulde.files import user_path
from mulde.vision.models.own_input import Input
from mulde.vision.sources._source import Source, Specification, Wanted
from mulde.vision.storage.description import describe
from mulde.vision.storage.student import open_student


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """The student of a run, with the classes, size and normalisation that it was trained with."""
    student = open_student(existing(spec))
    own = Input(student.channels, student.size, student.mean, student.deviation)
    return Source(student.network, own, student.classes)


def existing(spec: Specification) -> Path:
    """The run folder or bundle. Raises UsageError if there is no student in it."""
    path = user_path(spec.place)
    describe(path)
    return path
