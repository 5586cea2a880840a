"""Evaluation of trained models as rows of a table, and the summary files of a run.

Metrics are those of the embeddings only. Beside them is the MRR with the graph prior, for models that have one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde import schema
from mulde.engine.progress import Progress, Report, silent
from mulde.engine.provenance import environment
from mulde.errors import NotWritable
from mulde.files import utf8, write_atomically, write_json
from mulde.kge.evaluation.cache import cached_report
from mulde.kge.storage.run_folder import describe
from mulde.kge.training.stage import Outcome
from mulde.kge.training.verdict import Verdict
from mulde.report.tables import in_one_unit, table
from mulde.schema import contents

Rows = Sequence[Mapping[str, Any]]


def evaluated(
    outcome: Outcome, graph: TripleSet, folder: Path, known: KnownAnswers, stage: str, progress: Report = silent
) -> dict[str, Any]:
    """Evaluation of a trained model on the test split, stored in its run folder and reported as a message."""
    report = cached_report(outcome.model, graph, folder, "test", known)
    record = outcome.record
    why = "" if record.stopped_by == "epochs" else f", stopped by {record.stopped_by}"
    progress(Progress(
        stage,
        f"  {record.epochs} epochs in {record.seconds:.0f} s{why}; best epoch {record.best_epoch}: "
        f"MRR {record.best_metrics['valid/mrr']:.4f} on valid",
        1.0,
        record.best_metrics,
    ))  # fmt: skip
    return report


def row(name: str, outcome: Outcome, folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Row of a trained model: size, test metrics, and training time."""
    return {
        "model": name,
        "dim": outcome.model.config.dim,
        "parameters": describe(folder)["parameters"],
        "MB": round((folder / "model.safetensors").stat().st_size / 1e6, 3),
        **metrics(report, outcome.model.graph_prior is not None),
        "best epoch": outcome.record.best_epoch,
        "seconds": round(outcome.record.seconds),
    }


def metrics(report: Mapping[str, Any], prior: bool = False) -> dict[str, Any]:
    """Realistic metrics of an evaluation by embeddings only, and the MRR with the graph prior; None without one."""
    realistic = report["realistic"]
    embeddings_only = report.get("embeddings_only", realistic)
    names = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10"}
    figures = {title: embeddings_only[name] for name, title in names.items()}
    return {"MRR": figures.pop("MRR"), "MRR with prior": realistic["mrr"] if prior else None, **figures}


def title(graph: TripleSet) -> str:
    """Protocol of the figures in a table."""
    return (
        f"{graph.name}, test split ({len(graph.test):,} triples), filtered, both directions, realistic ranks\n"
        "Metrics use embeddings only; MRR with prior adds the graph prior of the model."
    )


def summarise(
    settings: Mapping[str, Any],
    graph: TripleSet,
    folder: Path,
    rows: Rows,
    interval: Mapping[str, Any],
    verdict: Verdict | None = None,
) -> dict[str, Any]:
    """Write settings.yaml, summary.json and summary.md of a run.

    Parameters
    ----------
    settings
        Options by name; `--config settings.yaml` gives the same run.
    graph
        The data.
    folder
        The run folder.
    rows
        Rows of the table.
    interval
        95 % intervals of the test MRR by model, embeddings only.
    verdict
        Which model to take, of a run with several.

    Returns
    -------
    dict
        Content of summary.json. Date and machine of the first call are kept where nothing was computed again.
    """
    summary = {
        "data": {"name": graph.name, "checksum": graph.checksum},
        "settings": settings,
        "rows": rows,
        "mrr_interval_95": interval,
    }
    if verdict is not None:
        summary |= {"recommended": verdict.recommended.folder, "verdict": verdict.as_dict()}
    path = folder / "summary.json"
    found = schema.read(path, contents.SUMMARY) or {}
    plain = json.loads(json.dumps(summary))
    reused = all(found.get(name) == plain[name] for name in ("data", "rows"))
    summary = {**found, **summary} if reused else {**summary, **environment()}
    text = f"{title(graph)}\n\n{table(in_one_unit(rows), markdown=True)}\n"
    if verdict is not None:
        text += f"\n```\n{verdict}\n```\n"
    written = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    try:
        write_atomically(folder / "settings.yaml", utf8(written))
        write_json(path, summary)
        write_atomically(folder / "summary.md", utf8(text))
    except NotWritable:
        if not reused:  # otherwise the files say the same, for another spelling of the folder
            raise
    return summary
