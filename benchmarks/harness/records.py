"""Records of experiments: ``records.jsonl`` (a line per run) and ``table.md`` in a folder of ``results/``.

A record holds the command, settings, seed, data checksum, date, versions, hardware, metrics, training seconds and a
training curve of at most 40 points. Metrics computed from the embeddings only are under ``embeddings_only``; those of
complete answers (self-loop mask and graph prior) are under ``with_prior``, where a model has either.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mulde.engine import provenance
from mulde.files import write_atomically
from mulde.report.tables import table

Record = dict[str, Any]
RESULTS = Path("results")
FILE, TABLE = "records.jsonl", "table.md"
EVALUATED = {"senior", "ensemble"}  # evaluations beside those of the trained models
CURVE = 40  # points of a training curve at most


def read(folder: Path) -> list[Record]:
    """All records of an experiment, oldest first; empty where there are none.

    Parameters
    ----------
    folder
        Folder of the experiment, such as ``results/dimensions``.
    """
    path = folder / FILE
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def write(folder: Path, records: Iterable[Record]) -> None:
    """Replace all records of an experiment."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, "".join(lines).encode())


def append(folder: Path, *records: Record) -> None:
    """Add records to an experiment."""
    write(folder, [*read(folder), *records])


def write_table(folder: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of an experiment as Markdown and print it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TABLE, f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}", flush=True)


def environment() -> Record:
    """Date, versions, hardware and threads of a measurement made now."""
    found = dict(provenance.environment())
    return {"hardware": found.pop("processor"), **found}


def figures(record: Record) -> Record:
    """The figures of a record that tables show: embeddings only, and with graph prior where there is one."""
    plain, prior = record["metrics"]["embeddings_only"], record["metrics"].get("with_prior", {})
    own = {"MRR": plain["mrr"], "Hits@1": plain.get("hits@1"), "Hits@10": plain.get("hits@10")}
    return {**own, "MRR with prior": prior.get("mrr"), "Hits@10 with prior": prior.get("hits@10")}


def means(records: Sequence[Record]) -> Record:
    """Means of :func:`figures` over seeds, with standard deviation and minimum of the MRR."""
    rows = [figures(record) for record in records]
    mrr = [row.pop("MRR") for row in rows]
    averaged = {name: mean([row[name] for row in rows]) for name in rows[0]}
    return {"MRR": mean(mrr), "sd": deviation(mrr), "min": min(mrr), **averaged}


def seconds(records: Sequence[Record]) -> int:
    """Mean training time of runs in whole seconds."""
    return round(statistics.fmean(round(record["seconds"]) for record in records))


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of values; None where one is missing."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there and len(there) == len(values) else None


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of values; None for a single one."""
    return statistics.stdev(values) if len(values) > 1 else None


def of_run(folder: Path) -> list[Record]:
    """Records of a finished run folder: one for each model trained in it.

    Parameters
    ----------
    folder
        Run folder of `mulde train`, `distil` or `run`.

    Returns
    -------
    list of dict
        ``stage`` is the model's folder below the run folder, ``.`` for a run of one model. The Senior and the teacher
        ensemble, which are not trained models of their own, have metrics only.
    """
    summary = _json(folder / "summary.json")
    stages = sorted(path.parent.parent for path in folder.glob("**/fit/config.json"))
    found = [_of_stage(stage, str(stage.relative_to(folder)), summary) for stage in stages]
    shared = {key: found[-1][key] for key in ("data", "date", "versions", "hardware", "threads")}
    evaluated = sorted(path for path in folder.glob("**/*.json") if path.stem in EVALUATED)
    return [*found, *({"stage": path.stem, "metrics": metrics_of(_json(path), {}), **shared} for path in evaluated)]


def _of_stage(stage: Path, name: str, summary: Record) -> Record:
    config, fit, model = (_json(stage / file) for file in ("fit/config.json", "fit/record.json", "model.json"))
    log = [json.loads(line) for line in (stage / "fit/log.jsonl").read_text(encoding="utf-8").splitlines()]
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
    found: Record = json.loads(path.read_text(encoding="utf-8"))
    return found
