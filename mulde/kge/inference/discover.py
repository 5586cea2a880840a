"""The likeliest missing facts of a graph, over all relations or some.

1. Search: for each relation, the best candidates by score (`mulde.kge.inference.candidates`). This is exact, and takes
   memory for one tile of scores and for the candidates kept.
2. Comparison: scores of different relations are not comparable, because relations differ in how their scores spread
   and in how many of their candidates are true. Facts are ordered by a probability, estimated on the candidates kept:

       p = σ(w·s + b + b_r + a_r·s)    fitted to: is the candidate in the validation split?

   An offset and a slope for each relation, shrunk towards the common ones (`mulde.kge.evaluation.calibration`). Within
   a relation p does not increase as the score falls, so that a relation's n likeliest facts are its n best by score,
   and step 1 has kept them.

The probability is that of being in a held-out split as large as the validation split. It is a cautious one, because a
true fact that is in no split counts as false. The calibration of `mulde evaluate --task classification` is not used: it
assumes that half of all triples are true, and is fitted to random false ones, which are easy. Ordered by it, fewer than
1 % of the first 1,000 candidates of FB15k-237 are in the validation or test split; ordered as here, 80 % are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from kge_data.filters import KnownAnswers
from kge_data.tripleset import SPLITS, TripleSet
from mulde.config.values import Count, typed
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import fit_calibration
from mulde.kge.evaluation.link_prediction import refuse_other_graph
from mulde.kge.inference.candidates import Candidates, Kind, best_pairs
from mulde.kge.inference.facts import Fact, Facts
from mulde.kge.inference.known import Known
from mulde.kge.model.directions import Ids
from mulde.kge.model.kge_model import KGEModel

POOL = 1_000  # candidates kept of each relation, at least: the examples of the calibration
BAR = "{desc} {percentage:3.0f}% |{bar:10}| {elapsed}, {remaining} left"
KnownIn = Literal["all", "train"]


def discover(
    model: KGEModel,
    graph: TripleSet,
    *,
    relations: Sequence[str] | None = None,
    top: int = 1_000,
    per_relation: int | None = None,
    candidates: Kind = "observed",
    known: KnownIn = "all",
    graph_prior: bool = True,
    heads: Ids | None = None,
    tails: Ids | None = None,
    progress: bool | None = False,
) -> Facts:
    """The likeliest missing facts of a graph.

    Parameters
    ----------
    model, graph
        A model and its graph.
    relations
        Relations, by identifier or readable name. None: all.
    top
        Number of facts.
    per_relation
        Largest number of facts of a relation. None: no limit.
    candidates
        "observed": in train, the head is a head of the relation and the tail is a tail of it. "either": at least one
        of the two holds. "all": all pairs of entities.
    known
        Triples that are left out: those of all splits, or of "train" only, to measure how many of the facts are in
        the other splits.
    graph_prior
        Whether scores contain the model's graph prior.
    heads, tails
        Ids (n,), ascending, that heads and tails are limited to. None: all.
    progress
        Whether to show a progress bar; None: if the error stream is a terminal.

    Returns
    -------
    Facts
        The facts, the likeliest first. Without validation triples among the candidates they have no probability, and
        are ordered by score, which does not compare relations well; use ``per_relation`` then.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        For an unknown or ambiguous relation.
    UsageError
        If a number is less than 1, a choice is unknown, or the model is of another graph.
    mulde.metrics.ranks.NonFiniteScores
        If the model gives NaN or infinity.
    """
    top, per_relation = typed(top, Count, "`top`"), typed(per_relation, Count | None, "`per_relation`")
    for name, value, choices in (("candidates", candidates, get_args(Kind)), ("known", known, get_args(KnownIn))):
        if value not in choices:
            raise UsageError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}; got {value!r}")
    refuse_other_graph(model, graph)
    numbers = range(graph.num_relations) if relations is None else sorted({graph.relation_id(it) for it in relations})
    some = Candidates(graph, candidates, heads, tails)
    limit = top if per_relation is None else min(top, per_relation)
    triples, scores = _search(model, graph, some, numbers, max(limit, POOL), graph_prior, progress)
    probabilities = _probabilities(graph, triples, scores)
    split = Known(graph).split(*triples.T)
    heads, kinds, tails = triples.T
    likeliest = np.lexsort((tails, heads, kinds, -scores, *([] if probabilities is None else [-probabilities])))

    def first(kept: NDArray[np.bool_]) -> Ids:
        """The rows of the likeliest facts among those kept."""
        order = likeliest[kept[likeliest]]
        if per_relation is not None:
            order = order[_place_in_group(kinds[order]) < per_relation]
        return order[:top]

    order = first(split < 0) if known == "all" else first(split >= -1)
    chosen = None if probabilities is None else probabilities[order]
    precision = None  # probabilities are fitted to validation
    if probabilities is not None and len(graph.test) and len(order):
        precision = float((split[first(split != SPLITS.index("valid"))] == SPLITS.index("test"))[: len(order)].mean())
    found = _facts(graph, triples[order], scores[order], chosen, split[order])
    return Facts(found, graph, sum(map(some.count, numbers)), precision)


def _search(
    model: KGEModel,
    graph: TripleSet,
    candidates: Candidates,
    relations: Sequence[int],
    k: int,
    graph_prior: bool,
    progress: bool | None,
) -> tuple[Ids, NDArray[np.float64]]:
    """The best candidates of each relation, best first: triples (n, 3) and scores (n,); k that are in no split."""
    held_out = np.bincount(np.concatenate([graph.valid, graph.test])[:, 1], minlength=graph.num_relations)
    triples, scores = [], []
    bar = tqdm(
        total=sum(map(candidates.pairs, relations)), desc="discover", leave=False, dynamic_ncols=True, bar_format=BAR,
        disable=None if progress is None else not progress,
    )  # fmt: skip
    with bar:
        for relation in relations:
            best = best_pairs(model, candidates, relation, k + int(held_out[relation]), graph_prior, bar.update)
            triples.append(np.stack([best.heads, np.full_like(best.heads, relation), best.tails], axis=1))
            scores.append(best.scores)
    return np.concatenate(triples), np.concatenate(scores)


def _probabilities(graph: TripleSet, triples: Ids, scores: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Probability (n,) of each candidate, not increasing within a relation; None if none is in the validation split."""
    found = KnownAnswers(graph.valid).contains(*triples.T)
    if not found.any():
        return None
    relations, both = triples[:, 1], np.stack([scores, scores], axis=1)
    calibration = fit_calibration(both, relations, found, graph.num_relations, "", "candidates")
    values = calibration.probabilities(relations, both)
    for start, end in _groups(relations):
        np.minimum.accumulate(values[start:end], out=values[start:end])  # a fitted slope may be negative
    return values


def _groups(relations: Ids) -> list[tuple[int, int]]:
    """Start and end of each run of equal relations."""
    starts = np.flatnonzero(np.diff(relations, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(relations)], strict=True))


def _place_in_group(relations: Ids) -> Ids:
    """For each row the number of rows before it with the same relation."""
    order = np.argsort(relations, kind="stable")
    place = np.empty_like(order)
    for start, end in _groups(relations[order]):
        place[order[start:end]] = np.arange(end - start)
    return place


def _facts(
    graph: TripleSet, triples: Ids, scores: NDArray[Any], probabilities: NDArray[Any] | None, splits: Ids
) -> list[Fact]:
    shown = [None] * len(triples) if probabilities is None else probabilities.tolist()
    rows = zip(triples.tolist(), scores.tolist(), shown, splits.tolist(), strict=True)
    return [
        Fact(
            rank,
            graph.entities[head],
            graph.relations[relation],
            graph.entities[tail],
            score,
            probability,
            SPLITS[split] if split >= 0 else None,
        )
        for rank, ((head, relation, tail), score, probability, split) in enumerate(rows, 1)
    ]
