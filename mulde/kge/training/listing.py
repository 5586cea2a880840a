"""The runs below a folder, read from their small files. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mulde.files import read_json

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
        rows = [_row(run, stage) for stage in (run / name for name in STAGES) if stage in stages] or [_row(run, run)]
        row = max(rows, key=lambda row: row["valid_mrr"] or 0.0)
        if row["model"] and run.parent.name != "teachers":  # without a scorer: of a method for images
            yield row


def _row(run: Path, stage: Path) -> dict[str, Any]:
    config = read_json(stage / "fit/config.json") or {}
    settings, model = config.get("config", {}), read_json(stage / "model.json") or {}
    summary, record = read_json(run / "summary.json") or {}, read_json(stage / "fit/record.json") or {}
    weights, test = stage / "model.safetensors", read_json(stage / "test.json")
    gain = (summary.get("verdict") or {}).get("gain") or {}
    changed = (run / "summary.json" if summary else stage / "fit/config.json").stat().st_mtime
    return {
        "graph": settings.get("data", {}).get("name", ""),
        "model": settings.get("scorer", ""),
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
