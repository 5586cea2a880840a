"""Records of finished runs: one JSON line for each trained model.

A record holds settings, seed, data checksum, date, versions, hardware, metrics, training seconds and a training curve
of at most 40 points. Metrics computed from the embeddings only are under ``embeddings_only``; those of complete answers
(self-loop mask and graph prior) are under ``with_prior``, where a model has either.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mulde.engine.checkpoint import RunFolder
from mulde.errors import UsageError
from mulde.files import read_json

Record = dict[str, Any]
EVALUATED = {"senior", "ensemble"}  # evaluations beside those of the trained models
CURVE = 40  # points of a training curve at most


def of_run(folder: Path) -> list[Record]:
    """Records of a finished run folder: one for each model trained in it or for it.

    Parameters
    ----------
    folder
        Run folder of `mulde train`, `distil` or `run`.

    Returns
    -------
    list of dict
        ``stage`` is the model's folder below the run folder, ``.`` for a run of one model, and ``teachers/NAME`` for a
        teacher that other runs share. The Senior and the teacher ensemble, which are not trained models of their own,
        have metrics only.

    Raises
    ------
    UsageError
        If the run is not finished.
    """
    summary = read_json(folder / "summary.json")
    stages = {path.parent.parent: path.parent.parent.relative_to(folder) for path in folder.glob("**/fit/config.json")}
    for row in (summary or {}).get("rows", ()):
        if row.get("folder", "").startswith(".."):
            stages[folder / row["folder"]] = Path("teachers") / Path(row["folder"]).name
    left = [str(stage) for stage in stages if not (stage / "fit/record.json").exists()]
    if summary is None or left or not stages:
        raise UsageError(f"{', '.join(left) or folder}: not finished, so there is no record yet; repeat the command")
    found = [_of_stage(stage, str(stages[stage]), summary) for stage in sorted(stages, key=lambda it: str(stages[it]))]
    shared = {key: found[-1][key] for key in ("data", "date", "versions", "hardware", "threads")}
    evaluated = sorted(path for path in folder.glob("**/*.json") if path.stem in EVALUATED)
    return [*found, *({"stage": path.stem, "metrics": metrics_of(_json(path), {}), **shared} for path in evaluated)]


def _of_stage(stage: Path, name: str, summary: Record) -> Record:
    config, fit, model = (_json(stage / file) for file in ("fit/config.json", "fit/record.json", "model.json"))
    log = RunFolder(stage / "fit").lines()
    ran, settings = config["environment"], settings_of(config, summary["settings"])
    return {
        "stage": name, "seed": config["seed"], "settings": settings, "data": config["config"]["data"],
        "dim": settings["dim"], "parameters": model["parameters"],
        "MB": round((stage / "model.safetensors").stat().st_size / 1e6, 3),
        "metrics": metrics_of(_json(stage / "test.json"), settings),
        "epochs": fit["epochs"], "best_epoch": fit["best_epoch"], "seconds": fit["seconds"], "curve": curve(log),
        "date": ran["date"], "versions": ran["versions"], "hardware": ran.get("accelerator", ran["processor"]),
        "threads": ran["threads"],
    }  # fmt: skip


def settings_of(config: Record, given: Record) -> Record:
    """Settings of a fit as one flat dictionary; preset, budget and method are those given to the command."""
    own = {key: value for key, value in config["config"].items() if key not in ("data", "stage", "teachers")}
    nested = [key for key, value in own.items() if isinstance(value, dict)]
    flat = {**own, **{name: value for key in nested for name, value in own[key].items()}}
    chosen = {key: given[key] for key in ("preset", "budget") if key in given}
    fit = {"epochs": config["fit"]["epochs"], "patience": config["fit"]["patience"]}
    return {**chosen, **{key: value for key, value in flat.items() if key not in nested}, **fit}


def metrics_of(test: Record, settings: Record) -> Record:
    """Test metrics from the embeddings only and, where the model has a self-loop mask or a graph prior, with it."""
    realistic = {**test["realistic"], "interval_95": test["mrr_interval_95"]}
    for policy in ("optimistic", "pessimistic"):
        realistic[f"mrr_{policy}"] = test[policy]["mrr"]
    if settings.get("graph_prior") or settings.get("mask_self_loops"):
        plain = {key: value for key, value in test["embeddings_only"].items() if isinstance(value, float)}
        return {"embeddings_only": plain, "with_prior": realistic}
    return {"embeddings_only": realistic}


def curve(log: Sequence[Record]) -> Record:
    """Epochs, seconds and validation MRR of a logged fit, thinned evenly to at most ``CURVE`` points."""
    rows = [row for row in log if "valid/mrr" in row]
    stride = -(-len(rows) // CURVE) or 1
    rows = rows[::-1][::stride][::-1]  # with the last one
    return {
        "epoch": [row["epoch"] for row in rows], "seconds": [round(row["seconds"], 1) for row in rows],
        "valid_mrr": [round(row["valid/mrr"], 5) for row in rows],
    }  # fmt: skip


def _json(path: Path) -> Record:
    found: Record | None = read_json(path)
    if found is None:
        raise UsageError(f"{path}: no such file; repeat the command of the run, which writes it")
    return found
