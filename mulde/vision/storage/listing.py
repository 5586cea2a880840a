"""The students below a folder, read from their small files. Imports no torch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mulde import schema
from mulde.errors import UsageError
from mulde.storage.format import DESCRIPTION, WEIGHTS
from mulde.vision.storage.description import KIND, describe

MAIN = ("accuracy", "ap", "mean_iou", "iou_after_training", "probe_accuracy")
"""Metrics that stand for a student; the first one that was recorded is shown."""


def students(folder: Path) -> list[dict[str, Any]]:
    """Students in a folder, with all folders in it, by data and then by metric, best first.

    Networks that a run kept beside its student are left out.
    """
    return sorted(_rows(folder), key=lambda row: (row["data"], -(row["metric"] or 0.0), row["folder"]))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    places = [path.parent for path in sorted(folder.rglob(DESCRIPTION)) if _is_student(path)]
    for place in places:
        if place.parent in places:
            continue
        try:
            about = describe(place)
        except UsageError:  # damaged, or of another version; `mulde show` explains it
            continue
        name, value = _metric(about.get("metrics", {}))
        made = about["architecture"]
        weights = place / WEIGHTS
        yield {
            "data": about["data"]["name"],
            "method": about["method"],
            "network": made.get("name") or made["made_by"],
            "task": about["task"],
            "parameters": about["parameters"],
            "bytes": weights.stat().st_size if weights.is_file() else None,
            "metric_name": name,
            "metric": value,
            "date": time.strftime("%Y-%m-%d", time.localtime((place / DESCRIPTION).stat().st_mtime)),
            "folder": str(place),
        }


def _is_student(path: Path) -> bool:
    try:
        if path.stat().st_size > schema.SMALL:
            return False
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def _metric(metrics: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Name and value of the main metric on the test part, or on the first part that has one."""
    parts = [metrics[part] for part in ("test", *metrics) if isinstance(metrics.get(part), dict)]
    for part in parts:
        for name in MAIN:
            if isinstance(part.get(name), int | float):
                return name, float(part[name])
    return None, None
