"""The runs below a folder, read from their small files. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mulde import schema
from mulde.schema import contents

STAGES = ("junior", "baseline")


def runs(folder: Path) -> list[dict[str, Any]]:
    """Runs of `mulde run` and single models of `mulde train` and `mulde distil`; teachers of runs are left out.

    Parameters
    ----------
    folder
        The folder to search, with all folders in it.

    Returns
    -------
    list
        A row for each run: the better of Junior and baseline on valid, or its only model, with MRRs of the embeddings
        only. By graph, the best on valid first; ``finished`` is False for a run that was interrupted, and its figures
        may be None.
    """
    return sorted(_rows(folder), key=lambda row: (row["graph"], -(row["valid_mrr"] or 0.0), row["folder"]))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    stages = {path.parent.parent for path in folder.rglob("fit/config.json")}
    for run in sorted({stage.parent if stage.name in STAGES else stage for stage in stages}):
        if run.parent.name == "teachers":
            continue
        stages_of_run = [run / name for name in STAGES if run / name in stages] or [run]
        rows = [row for stage in stages_of_run if (row := _row(run, stage)) is not None]
        if rows:
            yield max(rows, key=lambda row: row["valid_mrr"] or 0.0)


def _row(run: Path, stage: Path) -> dict[str, Any] | None:
    """Figures of a run; None for one of another kind."""
    config = schema.read(stage / "fit/config.json", contents.CONFIG) or {}
    settings, weights = config.get("config", {}), stage / "model.safetensors"
    if "scorer" not in settings:  # of a method for images
        return None
    data = settings.get("data")
    model = schema.read(stage / "model.json", contents.DESCRIPTION) or {}
    summary = schema.read(run / "summary.json", contents.SUMMARY) or {}
    record = schema.read(stage / "fit/record.json", contents.RECORD) or {}
    test = schema.read(stage / "test.json", contents.EVALUATION)
    gain = (summary.get("verdict") or {}).get("gain") or {}
    changed = (run / "summary.json" if summary else stage / "fit/config.json").stat().st_mtime
    return {
        "graph": str(data.get("name", "")) if isinstance(data, dict) else "",
        "model": settings["scorer"],
        "kind": "distilled" if settings.get("stage") == "distil" else "baseline" if stage != run else "trained",
        "dim": model.get("model", {}).get("dim", settings.get("dim")),
        "bytes": weights.stat().st_size if weights.exists() else None,
        "valid_mrr": record.get("best_metrics", {}).get("valid/mrr"),
        "test_mrr": None if test is None else test["embeddings_only"]["mrr"],
        "gain": gain.get("test_mrr"),
        "finished": bool(summary),
        "date": time.strftime("%Y-%m-%d", time.localtime(changed)),
        "folder": str(run),
    }
