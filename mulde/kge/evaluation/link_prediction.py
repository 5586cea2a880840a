"""Filtered link prediction in both directions, ranked against all entities.

A triple (h, r, t) gives the queries (h, r, ?) and (?, r, t). Other answers known from train, valid or test are
removed before ranking. Equal to PyKEEN's ``RankBasedEvaluator`` with all three splits as filter (tested). Other
protocols of published figures are in `mulde.kge.evaluation.protocols`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.analysis.cardinality import classes
from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, num_internal, reciprocal_id, with_reciprocals
from kge_data.tripleset import SPLITS, TripleSet
from mulde.config.values import Count, Whole, typed
from mulde.errors import UsageError
from mulde.kge.evaluation.candidate_sets import CandidateSets
from mulde.kge.evaluation.left_out import LeftOut, in_training
from mulde.kge.evaluation.protocols import STRICT, EvaluationProtocol, protocol_called
from mulde.kge.model.kge_model import KGEModel
from mulde.metrics.ranks import HITS, Policy, Ranks, concatenate, mean_interval, rank, refuse_non_finite
from mulde.report.tables import COLUMNS, data_frame, html_table, table

POLICIES: tuple[Policy, ...] = ("realistic", "optimistic", "pessimistic")
Filter = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Queries (b,) -> positions of queries and entities (f,) that are no candidates."""


class Ranker(Protocol):
    """A source of scores for all entities: a model, a Senior, an ensemble."""

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) for queries (b,) with internal relation ids, every row once."""
        ...


def uses_graph(ranker: Ranker) -> bool:
    """Whether a ranker is a model whose answers are ranked with a graph prior or masked self-loops."""
    return isinstance(ranker, KGEModel) and not (ranker.graph_prior is None and bool(ranker.self_loops.all()))


def refuse_other_graph(model: KGEModel, graph: TripleSet) -> None:
    """Raise UsageError if a model and a graph differ in their number of entities or relations."""
    if (model.num_entities, model.num_relations) != (graph.num_entities, graph.num_relations):
        raise UsageError(
            f"expected the graph that this model was trained on, of {model.num_entities:,} entities and "
            f"{model.num_relations:,} relations; got {graph.name}, of {graph.num_entities:,} and "
            f"{graph.num_relations:,}; pass the right graph"
        )


def known_answers(graph: TripleSet, about: NDArray[np.int64] | None = None) -> KnownAnswers:
    """The filter: answers in both directions, from all three splits.

    Parameters
    ----------
    graph
        The graph.
    about
        (q, 3) triples with internal relation ids, as from `with_reciprocals`. If given, the filter holds only the
        answers to their queries, which saves memory on a large graph.
    """
    triples = np.concatenate([graph.train, graph.valid, graph.test])
    if about is None:
        return KnownAnswers(with_reciprocals(triples))
    heads, relations, tails = triples.T
    stride = num_internal(graph.num_relations)
    wanted = np.unique(about[:, 0] * stride + about[:, 1])
    forward = triples[_among(heads * stride + forward_id(relations), wanted)]
    backward = triples[_among(tails * stride + reciprocal_id(relations), wanted)]
    parts = with_reciprocals(forward)[: len(forward)], with_reciprocals(backward)[len(backward) :]
    return KnownAnswers(np.concatenate(parts))


def _among(keys: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each key is in a short ascending array."""
    found: NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys
    return found


def evaluate(
    ranker: Ranker,
    graph: TripleSet,
    split: str = "test",
    known: KnownAnswers | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    embeddings_only: bool = False,
    protocol: str = STRICT.name,
    candidates: CandidateSets | None = None,
) -> LinkPrediction:
    """Rank a split of a graph.

    Parameters
    ----------
    ranker
        A model, or any other source of scores.
    graph
        The graph that the model was trained on.
    split
        ``"train"``, ``"valid"`` or ``"test"``.
    known
        The filter, `known_answers`; pass it if several evaluations share it.
    sample
        Number of triples to rank, drawn without replacement; an unbiased estimate of the whole split. None: all.
    seed
        Seed of the sample.
    embeddings_only
        Whether to rank a model without its graph prior and without masked self-loops. Protocols other than ``"strict"``
        always do.
    protocol
        Name of a protocol of `mulde.kge.evaluation.protocols`.
    candidates
        If given, only these entities are ranked, and the answer, which is a candidate in any case.

    Raises
    ------
    mulde.metrics.ranks.NonFiniteScores
        If the model gives NaN or infinity.
    UsageError
        If the split or the protocol is unknown, nothing of the split is to be ranked, the sample is empty, or the model
        was trained on another graph.
    """
    rules = protocol_called(protocol)
    embeddings_only = embeddings_only or rules is not STRICT
    if split not in SPLITS:
        raise UsageError(f"split should be one of {', '.join(SPLITS)}; got {split!r}")
    sample, seed = typed(sample, Count | None, "`sample`"), typed(seed, Whole, "`seed`")
    if isinstance(ranker, KGEModel):
        refuse_other_graph(ranker, graph)
    triples = getattr(graph, split)
    if not len(triples):
        raise UsageError(f"{graph.name} has no {split} triples to rank; name another split, or split the file again")
    positions, sample_of = _positions(graph, split, rules, sample, seed)
    pairs = with_reciprocals(triples if positions is None else triples[positions])
    known = known or known_answers(graph, None if positions is None else pairs)
    left_out = LeftOut(known, graph, rules, candidates).of
    queries = torch.from_numpy(pairs)
    heads, relations, targets = queries.unbind(1)
    if isinstance(ranker, KGEModel) and ranker.entity.device.type == "cpu":
        found = _counted(ranker, heads, relations, targets, left_out, embeddings_only)
    else:
        blocks: Callable[[Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]] = ranker.blocks
        if isinstance(ranker, KGEModel):
            blocks = partial(ranker.blocks, embeddings_only=True) if embeddings_only else ranker.answers
        found = _ranked(blocks(heads, relations), heads, relations, targets, left_out)
    parts, order = [], []
    for rows, ranks in found:
        order.append(rows.numpy())
        parts.append(ranks)
    ranks = concatenate(parts)[np.argsort(np.concatenate(order))]
    with_prior = isinstance(ranker, KGEModel) and ranker.graph_prior is not None and not embeddings_only
    return LinkPrediction(graph, split, ranks, positions, sample_of, with_prior, rules)


def _positions(
    graph: TripleSet, split: str, rules: EvaluationProtocol, sample: int | None, seed: int
) -> tuple[NDArray[np.int64] | None, int | None]:
    """Positions of the triples to rank, None for all; and the number that they are a random sample of, or None."""
    triples = getattr(graph, split)
    ranked = np.arange(len(triples)) if rules.unseen else np.flatnonzero(in_training(graph, triples))
    if not len(ranked):
        raise UsageError(
            f"every {split} triple of {graph.name} has an entity or a relation that is not in train, and the protocol "
            f"{rules.name} ranks no such triple; use the protocol {STRICT.name}"
        )
    several = len(ranked)
    if sample is None or sample >= several:
        return (None if several == len(triples) else ranked), None
    return ranked[np.sort(np.random.default_rng(seed).choice(several, sample, replace=False))], several


def _ranked(
    blocks: Iterator[tuple[Tensor, Tensor]], heads: Tensor, relations: Tensor, targets: Tensor, left_out: Filter
) -> Iterator[tuple[Tensor, Ranks]]:
    """Rows and their ranks, from the scores of all entities."""
    for rows, scores in blocks:
        rows = rows.cpu()
        filtered = left_out(heads[rows], relations[rows])
        yield rows, rank(scores, targets[rows].to(scores.device), *(ids.to(scores.device) for ids in filtered))


def _counted(
    model: KGEModel, heads: Tensor, relations: Tensor, targets: Tensor, left_out: Filter, embeddings_only: bool
) -> Iterator[tuple[Tensor, Ranks]]:
    """The same by rank counting, several times faster with a trained model (``mulde/kge/model/ranking.py``)."""

    def filtered(rows: Tensor) -> tuple[Tensor, Tensor]:
        return left_out(heads[rows], relations[rows])

    for found in model.count_better(heads, relations, targets, filtered, embeddings_only):
        rows = found.rows
        if not found.finite:
            own_heads, own_relations = torch.stack([heads[rows], relations[rows]]).unique(dim=1)
            blocks = partial(model.blocks, embeddings_only=True) if embeddings_only else model.answers
            for _, scores in blocks(own_heads, own_relations):
                refuse_non_finite(scores)
        yield rows, Ranks(found.better.numpy(), found.tied.numpy(), found.all.numpy() + 1)


@dataclass(frozen=True, repr=False)
class LinkPrediction:
    """Ranks of a split: first of all (h, r, ?), then of all (?, r, t), both in the order of the split."""

    graph: TripleSet
    split: str
    ranks: Ranks
    sample: NDArray[np.int64] | None = None
    """Positions in the split of the ranked triples; None: all."""
    sample_of: int | None = None
    """Number of triples that a random sample was drawn from; None: no sample."""
    with_prior: bool = False
    """Whether the scores include a graph prior."""
    protocol: EvaluationProtocol = STRICT
    """Rules of the ranking; its tie policy is the default of all metrics."""

    @cached_property
    def triples(self) -> NDArray[np.int64]:
        """The ranked triples (n, 3); ``ranks`` holds 2n ranks."""
        triples: NDArray[np.int64] = getattr(self.graph, self.split)
        return triples if self.sample is None else triples[self.sample]

    def metrics(self, policy: Policy | None = None) -> dict[str, float]:
        """MRR, Hits@1/3/10, mean rank and adjusted mean rank over both directions; by default as in the protocol."""
        return self.ranks.metrics(policy or self.protocol.ties)

    def interval(self, confidence: float = 0.95, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """Bootstrap interval of the MRR; triples are resampled with both of their ranks."""
        reciprocal = (1 / self.ranks.ranks(self.protocol.ties)).reshape(2, -1).mean(0)
        return mean_interval(reciprocal, confidence, resamples, seed)

    def precision(self, k: int) -> float | None:
        """Fraction of the k first answers to a query that are in the split; None for a sample, which has not all.

        Mean over the distinct queries of both directions, without their answers in the other splits. It is a lower
        bound, because true answers that are in no split count as false.
        """
        if self.sample_of is not None:
            return None
        pairs = with_reciprocals(self.triples)
        ranks = self.ranks.ranks(self.protocol.ties)
        order = np.lexsort((ranks, pairs[:, 1], pairs[:, 0]))
        first = np.append(True, (np.diff(pairs[order, :2], axis=0) != 0).any(1))
        place = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        return float((ranks[order] + place <= k).sum() / (k * first.sum()))  # a filtered rank omits the answers before

    def by_direction(self) -> dict[str, dict[str, float]]:
        """Metrics of tail queries (h, r, ?) and head queries (?, r, t)."""
        n = len(self.triples)
        parts = {"tail": self.ranks[:n], "head": self.ranks[n:]}
        return {name: ranks.metrics(self.protocol.ties) for name, ranks in parts.items()}

    def by_relation(self) -> dict[str, dict[str, float]]:
        """Metrics and number of triples of each relation in the split, by identifier."""
        return self._grouped(np.array(self.graph.relations)[self.triples[:, 1]])

    def by_cardinality(self) -> dict[str, dict[str, float]]:
        """Metrics for 1-1, 1-N, N-1 and N-N relations (Bordes et al. 2013), classified on train."""
        return self._grouped(np.asarray(classes(self.graph.train, self.graph.num_relations))[self.triples[:, 1]])

    def by_seen(self) -> dict[str, dict[str, float]]:
        """Metrics of triples with both entities in train, and of the others, which some libraries drop."""
        seen = np.isin(self.triples[:, [0, 2]], self.graph.train[:, [0, 2]]).all(1)
        return self._grouped(np.where(seen, "entities seen in train", "with an unseen entity"))

    def report(self) -> dict[str, Any]:
        """All of the above as plain values, for JSON."""
        low, high = self.interval()
        return {
            "data": self.graph.name, "checksum": self.graph.checksum, "split": self.split, "triples": len(self.triples),
            "sample_of": self.sample_of, "rankings": len(self.ranks), "filter": "train+valid+test",
            "protocol": self.protocol.name, "headline": self.protocol.ties,
            **{policy: self.metrics(policy) for policy in POLICIES},
            "precision": {str(k): self.precision(k) for k in HITS},
            "mrr_interval_95": [low, high], "by_direction": self.by_direction(), "by_seen": self.by_seen(),
            "by_cardinality": self.by_cardinality(), "by_relation": self.by_relation(),
        }  # fmt: skip

    def to_pandas(self) -> Any:
        """One row for each rank: head, relation and tail by identifier, the direction, and the rank."""
        graph, (heads, relations, tails) = self.graph, self.triples.T
        names = zip(
            np.array(graph.entities)[heads], np.array(graph.relations)[relations], np.array(graph.entities)[tails],
            strict=True,
        )  # fmt: skip
        triples, ranks = list(names), self.ranks.ranks(self.protocol.ties).tolist()
        rows = [
            {"head": head, "relation": relation, "tail": tail, "query": "tail" if i < len(triples) else "head",
             "rank": ranks[i]}
            for i, (head, relation, tail) in enumerate([*triples, *triples])
        ]  # fmt: skip
        return data_frame(rows, ("head", "relation", "tail", "query", "rank"))

    def __repr__(self) -> str:
        return f"{self._title()}\n{table(self._rows())}"

    def _repr_html_(self) -> str:
        return html_table(self._rows(), self._title())

    def _title(self) -> str:
        part = "" if self.sample_of is None else f", a sample of {len(self.triples):,} triples"
        prior = ", with graph prior" if self.with_prior else ""
        rules = "" if self.protocol is STRICT else f", embeddings only, protocol {self.protocol.name}"
        return (
            f"Link prediction on {self.graph.name}, {self.split} split{part}, filtered, both directions{prior}{rules}"
        )

    def _rows(self) -> list[dict[str, Any]]:
        found = {policy: self.metrics(policy) for policy in POLICIES}
        return [
            {"ties": policy, **{title: metrics[name] for name, title in COLUMNS.items()}}
            for policy, metrics in found.items()
        ]

    def _grouped(self, labels: NDArray[Any]) -> dict[str, dict[str, float]]:
        both = np.concatenate([labels, labels])
        return {
            str(label): {
                "triples": int((labels == label).sum()),
                **self.ranks[both == label].metrics(self.protocol.ties),
            }
            for label in np.unique(labels)
        }
