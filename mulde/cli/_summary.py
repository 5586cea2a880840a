"""The summary of a finished run: a table, what made it, and a copy for the repository if one is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde import config
from mulde.cli._output import announce, show
from mulde.cli._stage import Common, judged
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.storage.run_folder import describe
from mulde.kge.training import stage
from mulde.kge.training.record import record
from mulde.report.tables import metrics_rows, table

Rows = Sequence[Mapping[str, Any]]


def row(name: str, outcome: stage.Outcome, folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """A model's line in the table: its size, test metrics, and what it took."""
    description = describe(folder)
    size = (folder / "model.safetensors").stat().st_size / 1e6
    return {
        "model": name,
        "dim": description["model"]["dim"],
        "parameters": description["parameters"],
        "MB": round(size, 3),
        **metrics(report),
        "best epoch": outcome.record.best_epoch,
        "seconds": round(outcome.record.seconds),
    }


def metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """The realistic metrics that tables show, and the MRR of the vectors alone."""
    realistic, alone = report["realistic"], report.get("embeddings_only", report["realistic"])
    return {
        "MRR": realistic["mrr"],
        "vectors": alone["mrr"],
        **{name: realistic[name] for name in ("hits@1", "hits@3", "hits@10")},
    }


def title(graph: TripleSet) -> str:
    """What the numbers of a table are."""
    about = f"{graph.name}, test split ({len(graph.test):,} triples), filtered, both directions, realistic ranks"
    return f"{about}\nvectors: MRR by vectors alone, without loops and closed world"


def summarise(
    settings: Common, graph: TripleSet, folder: Path, rows: Rows, interval: Mapping[str, Any]
) -> dict[str, Any]:
    """Write settings.yaml, summary.json and summary.md of a run, and its record where one is asked for.

    Date and machine stay those of the work itself where nothing was computed anew.
    """
    kept = replace(
        settings, json=False, save_record=None, overwrite=False
    )  # what made the result, not where it is copied
    config.write(kept, folder / "settings.yaml")
    summary = {
        "data": {"name": graph.name, "checksum": graph.checksum},
        "settings": config.to_dict(kept),
        "rows": rows,
        "mrr_interval_95": interval,
    }
    path = folder / "summary.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    plain = json.loads(json.dumps(summary))
    reused = all(found.get(name) == plain[name] for name in ("data", "rows"))
    summary = {**found, **summary} if reused else {**summary, **environment()}
    write_atomically(path, json.dumps(summary, indent=2, ensure_ascii=False).encode())
    write_atomically(folder / "summary.md", f"{title(graph)}\n\n{table(rows, markdown=True)}\n".encode())
    if settings.save_record:
        record(folder, settings.save_record, settings.overwrite)
        announce(f"recorded in {settings.save_record}")
    return summary


def end(
    settings: Common, name: str, outcome: stage.Outcome, graph: TripleSet, folder: Path, known: KnownAnswers
) -> int:
    """Evaluate a single stage, summarise it and print the result; exit code 0."""
    report = judged(outcome, graph, folder, known)
    rows = [row(name, outcome, folder, report)]
    summary = summarise(settings, graph, folder, rows, {"model": report["mrr_interval_95"]})
    result = {"run": str(folder), "fit": outcome.record.as_dict(), "test": report, "summary": summary}
    text = f"{graph.name}, test split, filtered, both directions\n{table(metrics_rows(report))}\nrun folder: {folder}"
    return show(result, text, settings.json)
