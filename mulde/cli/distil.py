"""Distil trained teachers into a small Junior.

    mulde distil --teacher runs/wn18rr/roth-64 --teacher runs/wn18rr/refh-64 --junior roth --dim 32 --data wn18rr
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kge_data
from mulde import config, process
from mulde.catalogue import find
from mulde.cli._output import show
from mulde.errors import UsageError
from mulde.kge import stages
from mulde.kge.presets import PresetName, defaults
from mulde.kge.saved import scorer_name
from mulde.report import metrics_rows, table


@dataclass(frozen=True)
class Config(stages.DistilConfig):
    """Who teaches whom, and how."""

    teacher: tuple[Path, ...] = ()
    """Run folder of a teacher; give the option once per teacher."""
    junior: str = "roth"
    """Scoring function of the Junior."""
    data: str = "umls"
    """A graph by name (`mulde list data`), or the path of a folder or file; the one the teachers were trained on."""
    out: Path | None = None
    """Run folder; by default runs/<data>/junior-<scorer>-<dim>."""
    preset: PresetName = "recommended"
    """Where options that are not given take their values: recommended for this graph, or as in the paper's code."""
    threads: int | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = config.parse(Config, argv, "mulde distil", __doc__ or "", defaults)
    if not settings.teacher:
        raise UsageError("distil needs at least one teacher; got none; pass --teacher RUN for each run folder made by `mulde train`")
    process.start(settings.threads)
    scorer = scorer_name(find("scorers", settings.junior))
    graph = kge_data.load(settings.data)
    folder = settings.out or Path("runs") / graph.name / f"junior-{scorer}-{settings.dim}"
    known = stages.known_answers(graph)
    outcome = stages.distil(
        scorer, settings.teacher, graph, stages.part(stages.DistilConfig, settings), folder, source=settings.data, known=known
    )
    config.write(settings, folder / "settings.yaml")
    report = stages.judge(outcome.model, graph, folder, "test", known)
    result = {"run": str(folder), "fit": outcome.record.as_dict(), "test": report}
    text = f"{graph.name}, test split, filtered, both directions\n{table(metrics_rows(report))}\nrun folder: {folder}"
    return show(result, text, settings.json)
