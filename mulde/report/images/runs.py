"""Content of run folders of image methods for a report: description, summary, logs, and the networks that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mulde import schema
from mulde.schema import contents
from mulde.storage.container import is_bundle
from mulde.vision.storage.description import describe

Log = list[dict[str, Any]]


@dataclass
class ImageRun:
    """A run folder or bundle."""

    name: str
    folder: Path
    description: dict[str, Any]
    """model.json."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """A row for the student and each other network: model, parameters, MB, metrics."""
    logs: dict[str, Log] = field(default_factory=dict)
    """Stage -> lines of its log."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage -> its record."""

    @property
    def kept(self) -> dict[str, Path]:
        """Networks with weights: the student, and others by name."""
        others = (
            {}
            if is_bundle(self.folder)
            else {path.parent.name: path.parent for path in sorted(self.folder.glob("*/model.json"))}
        )
        return {"student": self.folder, **others}


def open_image_runs(folders: Sequence[Path]) -> list[ImageRun]:
    """Runs of image methods.

    Raises
    ------
    UsageError
        If a folder is no run, or a file is damaged.
    """
    names = [folder.resolve().name for folder in folders]
    return [
        _run(folder, name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def _run(folder: Path, name: str) -> ImageRun:
    found = ImageRun(name, folder, describe(folder))
    if is_bundle(folder):
        return found
    summary = schema.read(folder / "summary.json", contents.IMAGES_SUMMARY) or {}
    found.rows = summary.get("rows", [])
    for path in sorted(folder.glob("*/log.jsonl")):
        stage = path.parent.name
        found.logs[stage] = schema.read_lines(path, contents.IMAGES_LINE)
        found.records[stage] = schema.read(path.with_name("record.json"), contents.RECORD) or {}
    return found
