"""Pictures in folders, and small students in run folders, that the tests of the verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import command
from tests.vision.small_students import write_pictures, write_student, write_untrained

__all__ = ["command"]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three classes, one folder each."""
    folder = tmp_path_factory.mktemp("students") / "photos"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def run(photos: Path) -> Path:
    """The run folder of a student that was trained on the pictures for two epochs."""
    return write_student(photos.parent / "run", photos)


@pytest.fixture(scope="session")
def untrained(photos: Path) -> Callable[[Any], Path]:
    """Run folders of students for boxes, masks and embeddings by task."""

    def folder(task: Any) -> Path:
        place = photos.parent / str(task)
        return place if place.exists() else write_untrained(place, task)

    return folder
