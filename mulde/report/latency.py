"""How long one answer takes: every entity scored for a single query, on one processor thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.link_prediction import Ranker
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.senior import Senior, SeniorRanker
from mulde.report.gather import Run, Stage

WARM_UP = 10  # queries that are asked first and not counted


def measure(runs: Sequence[Run], graph: TripleSet, queries: int) -> None:
    """Fill in `Stage.latency` of every stage whose weights are there, over so many test queries spread evenly."""
    asked = with_reciprocals(graph.test)
    asked = asked[:: max(1, len(asked) // queries)][:queries]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for run in runs:
            teachers = [stage.model for stage in run.having("teacher") if stage.model is not None]
            ensemble = Ensemble(teachers) if teachers and len(teachers) == len(run.having("teacher")) else None
            for stage in run.stages:
                ranker = _ranker(stage, ensemble, run)
                if ranker is not None:
                    stage.latency = percentiles(ranker, torch.from_numpy(asked))
    finally:
        torch.set_num_threads(threads)


def percentiles(ranker: Ranker, queries: torch.Tensor) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds, of scoring all entities for one query (n, 3) after another."""
    heads, relations, _ = queries.unbind(1)
    times = []
    for i in [*range(min(WARM_UP, len(queries))), *range(len(queries))]:
        start = time.perf_counter()
        for _ in ranker.blocks(heads[i : i + 1], relations[i : i + 1]):
            pass
        times.append(1000 * (time.perf_counter() - start))
    median, slow = np.percentile(times[-len(queries) :], (50, 95))
    return float(median), float(slow)


def _ranker(stage: Stage, ensemble: Ensemble | None, run: Run) -> Ranker | None:
    if stage.role == "ensemble":
        return ensemble
    if stage.role == "senior":
        if ensemble is None or run.senior is None or run.senior[1].shape[1] != len(ensemble):
            return None
        gates = run.senior[1]
        senior = Senior(len(gates) // 2, len(ensemble))
        senior.weights.data = gates.logit()
        return SeniorRanker(senior, ensemble)
    return stage.model
