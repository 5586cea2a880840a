"""Train a model without distillation: a teacher or a baseline.

Examples:
    mulde train roth --data wn18rr --dim 64
    mulde train refh --data my-graph.tsv --epochs 50 --out runs/mine
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde.cli._stage import Common, begin, end, print_progress, scorer_called, writing
from mulde.config import Positional, extended
from mulde.config.command_line import parse
from mulde.files import file_name
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training
from mulde.kge.training.presets import defaults

if TYPE_CHECKING:
    from kge_data.filters import KnownAnswers
    from kge_data.tripleset import TripleSet

FIRST = ("scorer", "data", "out", "dim", "epochs", "budget", "device", "seed", "preset")


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Model."""

    scorer: Positional[str]
    """Scoring function: roth, refh, atth, ...; `mulde list scorers` lists all."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)


def compose(chosen: Mapping[str, Any]) -> type[Config]:
    from mulde.kge.training import supervised

    return extended(Config, options=supervised.Config)


def main(argv: Sequence[str]) -> int:
    settings: Any = parse(Config, argv, "mulde train", __doc__ or "", defaults, FIRST, compose)
    from mulde.kge.training.run import checked_scorer

    scorer = checked_scorer(scorer_called(settings.scorer), settings.options.model)
    with begin(settings, settings.training.device) as (graph, known):
        return _trained(settings, scorer, graph, known)


def _trained(settings: Any, scorer: str, graph: TripleSet, known: KnownAnswers) -> int:
    from mulde.cli._output import announce
    from mulde.kge.training import stage
    from mulde.kge.training.estimate import estimate

    options = settings.options
    folder = settings.out or Path("runs") / file_name(graph.name) / f"{scorer}-{options.model.dim}"
    with writing(settings, folder):
        announce(f"{scorer}, {options.model.dim} dimensions")
        if not (folder / "fit/record.json").exists():
            announce(estimate([(scorer, options)], graph, known).text(options.training.budget))
        common: dict[str, Any] = {"source": settings.data, "known": known, "progress": print_progress}
        outcome = stage.train(scorer, graph, options, folder, **common)
        return end(settings, scorer, outcome, graph, folder, known)
