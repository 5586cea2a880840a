"""Train teachers, distil a small Junior from them, evaluate all models.

Examples:
    mulde run --data umls
    mulde run --data my-graph.tsv --teacher roth --teacher atth --budget 30m

To resume an interrupted run, repeat the command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kge_data.printing import one_line
from mulde.cli._output import show
from mulde.cli._stage import Common, begin, print_progress, record_of, scorer_called
from mulde.config import extended
from mulde.config.command_line import parse
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Teachers, Training
from mulde.kge.training.presets import chosen_method, defaults

if TYPE_CHECKING:
    from kge_data.filters import KnownAnswers
    from kge_data.tripleset import TripleSet
    from mulde.kge.training.result import Result

FIRST = ("data", "out", "teacher", "junior", "dim", "epochs", "budget", "device", "seed", "preset")


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Junior."""

    method: str = "mulde"
    """Method: a name of `mulde list methods`, or the path of a Python file, as for `mulde distil`."""
    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    teachers: Teachers = field(default_factory=Teachers)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)


def compose(chosen: Mapping[str, Any]) -> type[Config]:
    from mulde.kge.training import supervised
    from mulde.kge.training.method_file import open_method

    return extended(Config, options=open_method(chosen_method(chosen)).Config, supervised=supervised.Config)


def main(argv: Sequence[str]) -> int:
    settings: Any = parse(Config, argv, "mulde run", __doc__ or "", defaults, FIRST, compose)
    teachers = replace(settings.teachers, teacher=tuple(map(scorer_called, settings.teachers.teacher)))
    scorer_called(settings.options.junior)
    with begin(settings, settings.training.device) as (graph, known):
        return _trained(settings, teachers, graph, known)


def _trained(settings: Any, teachers: Teachers, graph: TripleSet, known: KnownAnswers) -> int:
    from mulde.kge.training.run import run

    result = run(
        graph, teachers, settings.supervised, settings.options,
        method=settings.method, folder=settings.out, source=settings.data, known=known, restart=settings.restart,
        wait=settings.wait, progress=print_progress,
    )  # fmt: skip
    record_of(settings, result.folder)
    return show(result.summary, _text(result), settings.json)


def _text(result: Result) -> str:
    """Table, an example, and which model to take."""
    from mulde.kge.training.example import answers
    from mulde.kge.training.summary import title

    graph, query = result.graph, result.verdict.query
    tail = one_line(graph.entity_label(graph.entity_id(query[2])))
    return (
        f"{title(graph)}\n{result.table()}\n\n"
        f"Example from the test split, answered by {result.verdict.recommended.model}; true tail: {tail}; other known "
        f"answers are left out\n{answers(result.model, graph, query)}\n\n"
        f"Run folder: {result.folder}\n\n{result.verdict}"
    )
