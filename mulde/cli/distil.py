"""Distil trained teachers into a small Junior.

Examples:
    mulde train roth --data wn18rr --dim 64
    mulde train refh --data wn18rr --dim 64
    mulde distil --data wn18rr --dim 32 \\
        --teacher runs/wn18rr/roth-64 --teacher runs/wn18rr/refh-64
    mulde distil --data umls --dim 8 --teacher umls-8 \\
        --teacher pykeen-results/transe --allow-pickle

Teachers are matched to the graph by the names of entities and relations, and may know more of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from kge_data.tripleset import TripleSet
from mulde.cli._output import announce
from mulde.cli._stage import Common, begin, build_of, fitted, scorer_called
from mulde.cli._summary import end
from mulde.config.command_line import parse
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.storage.run_folder import describe
from mulde.kge.teachers.opening import of_pykeen, open_teacher, seen_test_triples
from mulde.kge.training import stage
from mulde.kge.training.options import DistilConfig, part
from mulde.kge.training.presets import defaults


@dataclass(frozen=True)
class Config(Common, DistilConfig):
    """Who teaches whom."""

    teacher: tuple[Path, ...] = ()
    """A teacher: a run folder, a bundle, a name of `mulde list models`, or a folder that PyKEEN's pipeline saved (with
    --allow-pickle); give the option once per teacher."""
    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` shows all."""
    allow_pickle: bool = False
    """Open PyKEEN's pickles, which can run any program: only where you made them or trust who did."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde distil", __doc__ or "", _defaults)
    if not settings.teacher:
        raise UsageError(
            "distil needs at least one teacher; got none; pass --teacher RUN for each run folder that "
            "`mulde train` made"
        )
    if twice := [path for path, count in Counter(map(Path.resolve, settings.teacher)).items() if count > 1]:
        raise UsageError(
            f"{twice[0]} is given twice as a teacher, and would count twice; train another one with --seed, or name "
            "it once"
        )
    build = build_of(settings.method)
    scorer = scorer_called(settings.junior, part(ModelConfig, settings))
    for teacher in settings.teacher:
        if not of_pykeen(teacher):
            describe(teacher)  # a wrong path is told before the graph is loaded
    graph, known = begin(settings)
    teachers = [_opened(teacher, graph, settings.allow_pickle) for teacher in settings.teacher]
    folder = settings.out or Path("runs") / graph.name / f"junior-{scorer}-{settings.dim}"
    config = part(DistilConfig, settings)
    outcome = fitted(
        f"Junior {scorer}, {settings.dim} dimensions, taught by {', '.join(map(str, settings.teacher))}",
        folder,
        lambda place: stage.distil(
            scorer, teachers, graph, config, place, build=build, source=settings.data, known=known
        ),
    )
    return end(settings, f"Junior {scorer}", outcome, graph, folder, known)


def _defaults(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """What the preset says, but for the teachers: it names scorers to train, and here they are models."""
    return defaults(options, names - {"teacher"})


def _opened(place: Path, graph: TripleSet, trust: bool) -> nn.Module:
    """A teacher from disk, with a remark where it was trained on triples that it should not have seen."""
    if of_pykeen(place):
        from mulde.pykeen import open_teacher as open_theirs  # imports PyKEEN, which takes seconds

        teacher: nn.Module = open_theirs(place, graph, trust)
    else:
        teacher = open_teacher(place, graph)
        if describe(place)["data"]["checksum"] != graph.checksum:
            announce(f"teacher {place} was trained on other triples than those of {graph.name}")
    if seen := seen_test_triples(teacher, graph):
        announce(f"teacher {place} was trained on {seen:,} of the {len(graph.test):,} test triples of {graph.name}")
    return teacher
