"""Search learning rate, batch size and other options by validation MRR.

Examples:
    mulde tune roth --data my-graph.tsv --dim 16 --budget 10m
    mulde tune roth --data umls --search lr=1e-4:1e-1:log \\
        --search batch_size=128,256,512 --loss cross-entropy
    mulde tune roth --data wn18rr --method mulde \\
        --teacher runs/wn18rr/roth-64 --teacher runs/wn18rr/refh-64

Searched by default: lr, batch_size, negatives or n3 (depending on the loss), and soft_weight and temperature of a
distillation. Options that are given are not searched. The first trial uses the values of the preset. To continue an
interrupted search, or one with more --trials or a larger --budget, repeat the command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde.cli._model import chosen
from mulde.cli._output import announce, show
from mulde.cli._stage import Start, print_progress, scorer_called, start
from mulde.cli._teachers import check_teachers, teacher_at
from mulde.config import Count, Duration, Positional, extended, to_dict
from mulde.config.command_line import parse_given
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training
from mulde.kge.training.presets import chosen_method, defaults

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet

FIRST = ("scorer", "data", "dim", "method", "teacher", "search", "trials", "budget", "trial_budget", "out")


@dataclass(frozen=True, kw_only=True)
class Config(Start):
    """Search."""

    scorer: Positional[str]
    """Scoring function: roth, refh, atth, ...; `mulde list scorers` lists all."""
    method: str | None = None
    """Search options of a distillation by this method: a name of `mulde list methods`, or a Python file.
    Default: training without teachers; with --teacher the method of the preset, or mulde."""
    teacher: tuple[Path, ...] = ()
    """Teacher, as for `mulde distil`; repeat the option for several teachers."""
    search: tuple[str, ...] = ()
    """Search an option between two values, NAME=LOW:HIGH or NAME=LOW:HIGH:log, or among several, NAME=A,B,C; repeat
    the option for several. They are searched in addition to the default ones."""
    trials: Count = 20
    """Number of trials."""
    budget: Duration | None = None
    """Time limit of all trials together, for example 10m or 2h."""
    trial_budget: Duration | None = None
    """Time limit of each trial. Default: the budget divided by the number of trials."""
    prune: bool = True
    """Stop a trial early if it is worse than the median of the others."""
    allow_pickle: bool = False
    """Load PyKEEN's pickle files, which can execute arbitrary code. Use only for files that you trust."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)


def compose(chosen: Mapping[str, Any]) -> type[Config]:
    from mulde.kge.training import supervised
    from mulde.kge.training.method_file import open_method

    distils = chosen.get("method") or chosen.get("teacher")
    return extended(Config, options=open_method(chosen_method(chosen)).Config if distils else supervised.Config)


def main(argv: Sequence[str]) -> int:
    settings: Any
    settings, given = parse_given(Config, argv, "mulde tune", __doc__ or "", _defaults, FIRST, compose)
    from mulde.kge.training.run import checked_scorer

    settings = replace(settings, teacher=tuple(map(chosen, settings.teacher)))
    scorer = checked_scorer(scorer_called(settings.scorer), settings.options.model)
    if "junior" in given and settings.options.junior != scorer:
        raise UsageError(f"the scorer is {scorer} and --junior {settings.options.junior}; give the scorer only")
    method = chosen_method(to_dict(settings)) if settings.method or settings.teacher else None
    if method is not None:
        check_teachers(settings.teacher)
    with start(settings, settings.training.device, ("train", "valid")) as graph:
        return _searched(settings, scorer, method, given, graph)


def _searched(settings: Any, scorer: str, method: str | None, given: frozenset[str], graph: TripleSet) -> int:
    from mulde.kge.training.tuning.search import tune

    result = tune(
        scorer,
        graph,
        settings.options,
        method=method,
        teachers=[teacher_at(place, graph, settings.allow_pickle) for place in settings.teacher],
        folder=settings.out,
        given=given,
        search=settings.search,
        trials=settings.trials,
        trial_budget=settings.trial_budget,
        prune=settings.prune,
        source=settings.data,
        settings=_further(settings, method),
        wait=settings.wait,
        progress=print_progress,
    )
    announce(f"picture: {result.folder / 'tune.svg'}")
    return show(result.as_dict(), f"{result.text()}\n\nnext: {result.command}", settings.json)


def _defaults(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Values of the preset, but for the teachers and the scorer."""
    return defaults(options, names - {"teacher", "junior", "method"})


def _further(settings: Config, method: str | None) -> dict[str, Any]:
    """Options of the process and of the teachers, for the settings file of `mulde train` or `mulde distil`."""
    found = {"preset": settings.preset, "threads": settings.threads, "keep_memory": settings.keep_memory}
    if method is None:
        return found
    return {**found, "teacher": list(map(str, settings.teacher)), "allow_pickle": settings.allow_pickle}
