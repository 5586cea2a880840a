"""Link prediction of a trained model: filtered, in both directions.

Examples:
    mulde evaluate runs/wn18rr/junior-roth-32
    mulde evaluate runs/wn18rr/junior-roth-32 --split valid --details
    mulde evaluate --model umls-8
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mulde import process
from mulde.cli._options import Positional, parse
from mulde.cli._output import announce, show
from mulde.files import write_atomically
from mulde.kge.bundle import is_bundle, locate
from mulde.kge.evaluations import reported
from mulde.kge.saved import describe, graph_of, open_model
from mulde.report import metrics_rows, model_line, table


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: Positional[Path]
    """Run folder of the model, a bundle (`mulde pack`), or a name of `mulde list models`."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    split: Literal["test", "valid", "train"] = "test"
    """Which triples are asked."""
    details: bool = False
    """Also show directions, cardinality classes and relations."""
    threads: int | None = None
    """Processor threads; by default all."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde evaluate", __doc__ or "")
    process.start(settings.threads)
    description = describe(settings.model)
    graph = graph_of(settings.model, settings.data)
    model = open_model(settings.model, graph).to(settings.device)
    if graph.checksum != description["data"]["checksum"]:
        announce(f"{graph.name} has the names, but not the triples that this model was trained on")
    report = reported(model, graph, settings.split)
    own = settings.model / f"{settings.split}.json"
    ours = graph.checksum == description["data"]["checksum"] and not is_bundle(locate(settings.model))
    if ours and not own.exists():  # never over a result that is there
        with contextlib.suppress(OSError):  # somebody else's folder may be read-only
            write_atomically(own, json.dumps(report, indent=2, ensure_ascii=False).encode())
    low, high = report["mrr_interval_95"]
    lines = [
        model_line(description),
        f"{graph.name}, {settings.split} split, filtered, both directions: {report['rankings']:,} rankings",
        table(metrics_rows(report)),
        f"95 % interval of the realistic MRR (bootstrap over triples): {low:.4f} to {high:.4f}",
    ]
    if settings.details:
        for title in ("by_direction", "by_cardinality", "by_seen", "by_relation"):
            rows = [{title.removeprefix("by_"): name, **values} for name, values in report[title].items()]
            lines += ["", table(rows)]
    return show(report, "\n".join(lines), settings.json)
