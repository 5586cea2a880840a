"""Latency of the models in a report: one query at a time, all entities scored, one processor thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import Ranker
from mulde.kge.inference import latency
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.senior import Senior, SeniorRanker
from mulde.report.runs import Run, Stage


def measure(runs: Sequence[Run], graph: TripleSet, count: int) -> None:
    """Set `Stage.latency` of every stage with weights, measured on ``count`` evenly spaced test queries."""
    queries = with_reciprocals(graph.test)
    queries = queries[:: max(1, len(queries) // count)][:count, :2]
    found = [(stage, ranker) for run in runs for stage, ranker in _rankers(run)]
    engines = {str(i): latency.ranker_engine(ranker) for i, (_, ranker) in enumerate(found)}
    with process.threads(1):
        times = latency.measure(engines, np.ascontiguousarray(queries))
    for (stage, _), measured in zip(found, times.values(), strict=True):
        stage.latency = measured


def _rankers(run: Run) -> list[tuple[Stage, Ranker]]:
    """Stages of a run whose scores can be computed, with their rankers."""
    teachers = [stage.model for stage in run.having("teacher") if stage.model is not None]
    ensemble = Ensemble(teachers) if teachers and len(teachers) == len(run.having("teacher")) else None
    pairs = [(stage, _ranker(stage, ensemble, run)) for stage in run.stages]
    return [(stage, ranker) for stage, ranker in pairs if ranker is not None]


def _ranker(stage: Stage, ensemble: Ensemble | None, run: Run) -> Ranker | None:
    if stage.role == "ensemble":
        return ensemble
    if stage.role == "senior":
        if ensemble is None or run.senior is None or run.senior[1].shape[1] != len(ensemble):
            return None
        gates = run.senior[1]
        senior = Senior(len(gates) // 2, len(ensemble))
        senior.load_state_dict({"weights": gates.logit()})
        return SeniorRanker(senior, ensemble)
    return stage.model
