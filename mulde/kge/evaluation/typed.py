"""Link prediction among the candidates that fit the relation: an extra figure beside the main ones.

A list restricted to its candidates never shows an answer that is not among them. Such an answer counts as not found,
with a reciprocal rank of 0, so the figure may be below that of the unrestricted ranking.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kge_data.inverse import num_internal, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.candidate_sets import CandidateSets
from mulde.kge.evaluation.link_prediction import POLICIES, Ranker, evaluate
from mulde.metrics.ranks import HITS


def typed_metrics(
    ranker: Ranker,
    graph: TripleSet,
    split: str,
    candidates: CandidateSets,
    *,
    sample: int | None = None,
    seed: int = 0,
    embeddings_only: bool = False,
) -> dict[str, Any]:
    """Metrics of a split among candidates; arguments and errors are those of `evaluate`.

    Returns
    -------
    By tie policy, ``mrr`` and ``hits@1``, ``hits@3`` and ``hits@10``; ``inside``: fraction of the answers that are
    candidates; ``candidates``: mean number of candidates of a query; ``about``: which they are.
    """
    found = evaluate(
        ranker, graph, split, sample=sample, seed=seed, embeddings_only=embeddings_only, candidates=candidates
    )
    _, relations, answers = with_reciprocals(found.triples).T
    inside, sizes = np.zeros(len(answers), dtype=bool), np.zeros(num_internal(graph.num_relations))
    for relation in np.unique(relations).tolist():
        own, rows = candidates.of(relation), relations == relation
        inside[rows], sizes[relation] = np.isin(answers[rows], own), len(own)
    metrics: dict[str, Any] = {}
    for policy in POLICIES:
        ranks = np.where(inside, found.ranks.ranks(policy), np.inf)
        hits = {f"hits@{k}": float((ranks <= k).mean()) for k in HITS}
        metrics[policy] = {"mrr": float((1 / ranks).mean()), **hits}
    return {
        **metrics,
        "inside": float(inside.mean()),
        "candidates": float(sizes[relations].mean()),
        "about": candidates.about,
    }
