"""Train a model on hard labels: a teacher, or a small model without distillation.

    mulde train roth --data wn18rr --dim 64
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kge_data
from mulde import config, process
from mulde.catalogue import find, note
from mulde.cli._output import announce, show
from mulde.kge import stages
from mulde.kge.presets import PresetName, defaults
from mulde.kge.saved import scorer_name
from mulde.report import metrics_rows, table
from mulde.scorers.model import ModelConfig


@dataclass(frozen=True)
class Config(stages.FitConfig, ModelConfig):
    """What to train, and how."""

    scorer: config.Positional[str]
    """Scoring function: roth, refh, atth, ...; `mulde list scorers` shows all."""
    data: str = "umls"
    """A graph by name (`mulde list data`), or the path of a folder or file."""
    out: Path | None = None
    """Run folder; by default runs/<data>/<scorer>-<dim>."""
    preset: PresetName = "recommended"
    """Where options that are not given take their values: recommended for this graph, or as in kgemb or the paper."""
    threads: int | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = config.parse(Config, argv, "mulde train", __doc__ or "", defaults)
    process.start(settings.threads)
    scorer = scorer_name(find("scorers", settings.scorer))
    if remark := note("scorers", settings.scorer):
        announce(remark)
    graph = kge_data.load(settings.data)
    folder = settings.out or Path("runs") / graph.name / f"{scorer}-{settings.dim}"
    known = stages.known_answers(graph)
    outcome = stages.train(
        scorer, graph, stages.part(stages.FitConfig, settings), stages.part(ModelConfig, settings), folder,
        source=settings.data, known=known,
    )  # fmt: skip
    config.write(settings, folder / "settings.yaml")
    report = stages.judge(outcome.model, graph, folder, "test", known)
    result = {"run": str(folder), "fit": outcome.record.as_dict(), "test": report}
    text = f"{graph.name}, test split, filtered, both directions\n{table(metrics_rows(report))}\nrun folder: {folder}"
    return show(result, text, settings.json)
