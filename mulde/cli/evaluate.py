"""Link prediction of a trained model: filtered, both directions, on a whole split.

    mulde evaluate runs/wn18rr/junior-roth-32
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import kge_data
from mulde import config, process
from mulde.cli._output import model_first, show
from mulde.kge import stages
from mulde.kge.saved import describe, open_model
from mulde.report import metrics_rows, table


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: Path
    """Run folder of the model; may also be given as the first word."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    split: Literal["test", "valid", "train"] = "test"
    """Which triples are asked."""
    details: bool = False
    """Also show cardinality classes, directions and relations."""
    threads: int | None = None
    """Processor threads; by default all."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = config.parse(Config, model_first(argv), "mulde evaluate", __doc__ or "")
    process.start(settings.threads)
    description = describe(settings.model)
    graph = kge_data.load(settings.data or description["data"]["source"])
    model = open_model(settings.model, graph).to(settings.device)
    report = stages.judge(model, graph, settings.model, settings.split)
    low, high = report["mrr_interval_95"]
    lines = [
        f"{description['scorer']}, {description['model']['dim']} dimensions, {description['parameters']:,} parameters",
        f"{graph.name}, {settings.split} split: {report['triples']:,} triples, {report['rankings']:,} rankings, filtered",
        table(metrics_rows(report)),
        f"MRR (realistic) 95 % bootstrap interval over triples: {low:.4f} to {high:.4f}",
    ]
    if settings.details:
        for title in ("by_direction", "by_cardinality", "by_seen", "by_relation"):
            rows = [{title.removeprefix("by_"): name, **values} for name, values in report[title].items()]
            lines += ["", table(rows)]
    return show(report, "\n".join(lines), settings.json)
