"""Distil trained teachers into a small Junior.

Examples:
    mulde train roth --data wn18rr --dim 64
    mulde train refh --data wn18rr --dim 64
    mulde distil --data wn18rr --dim 32 \\
        --teacher runs/wn18rr/roth-64 --teacher runs/wn18rr/refh-64
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mulde.cli._options import parse
from mulde.cli._stage import Common, begin, build_of, end, fitted, scorer_called
from mulde.errors import UsageError
from mulde.kge import stages
from mulde.kge.presets import defaults
from mulde.kge.saved import describe
from mulde.scorers.model import ModelConfig


@dataclass(frozen=True)
class Config(Common, stages.DistilConfig):
    """Who teaches whom."""

    teacher: tuple[Path, ...] = ()
    """Run folder of a teacher, trained on the same graph; give the option once per teacher."""
    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` shows all."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde distil", __doc__ or "", defaults)
    if not settings.teacher:
        raise UsageError(
            "distil needs at least one teacher; got none; pass --teacher RUN for each run folder that "
            "`mulde train` made"
        )
    scorer = scorer_called(settings.junior, stages.part(ModelConfig, settings))
    for teacher in settings.teacher:
        describe(teacher)  # a wrong path is told before the graph is loaded
    build = build_of(settings.method)
    graph, known = begin(settings)
    folder = settings.out or Path("runs") / graph.name / f"junior-{scorer}-{settings.dim}"
    config = stages.part(stages.DistilConfig, settings)
    outcome = fitted(
        f"Junior {scorer}, {settings.dim} dimensions, taught by {', '.join(map(str, settings.teacher))}",
        folder,
        lambda place: stages.distil(
            scorer, settings.teacher, graph, config, place, build=build, source=settings.data, known=known
        ),
    )
    return end(settings, outcome, graph, folder, known)
