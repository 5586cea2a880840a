"""Train a model on hard labels: a teacher, or one without distillation.

Examples:
    mulde train roth --data wn18rr --dim 64
    mulde train refh --data my-graph.tsv --epochs 50 --out runs/mine
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mulde.cli._stage import Common, begin, fitted, scorer_called
from mulde.cli._summary import end
from mulde.config.command_line import Positional, parse
from mulde.kge.model.config import ModelConfig
from mulde.kge.training import stage
from mulde.kge.training.options import FitConfig, part
from mulde.kge.training.presets import defaults


@dataclass(frozen=True)
class Config(Common, FitConfig, ModelConfig):
    """What to train."""

    scorer: Positional[str]
    """Scoring function: roth, refh, atth, ...; `mulde list scorers` shows all."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde train", __doc__ or "", defaults)
    fit, shape = part(FitConfig, settings), part(ModelConfig, settings)
    scorer = scorer_called(settings.scorer, shape)
    graph, known = begin(settings)
    folder = settings.out or Path("runs") / graph.name / f"{scorer}-{shape.dim}"
    outcome = fitted(
        f"{scorer}, {shape.dim} dimensions",
        folder,
        lambda place: stage.train(scorer, graph, fit, shape, place, source=settings.data, known=known),
    )
    return end(settings, scorer, outcome, graph, folder, known)
