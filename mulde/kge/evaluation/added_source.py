"""A model and another source of scores, added: the source may know what the embeddings do not.

    score = log softmax(model) + w · log softmax(source),   softmax over all entities

The source was not trained on the graph, as ULTRA (`mulde.ultra`); its errors differ from those of the model. The weight
w is that of `WEIGHTS` with the best MRR on validation triples, for the embeddings only and for the complete model each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde import schema
from mulde.files import write_json
from mulde.kge.evaluation.link_prediction import Ranker, known_answers
from mulde.kge.model.kge_model import KGEModel
from mulde.metrics.ranks import Ranks, rank
from mulde.schema import contents

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
FILE = "added.json"
EMBEDDINGS, COMPLETE = "embeddings_only", "with_prior"


@dataclass(frozen=True)
class Added:
    """A model with a source, as one ranker.

    Parameters
    ----------
    model, source
        Both rank the entities of the same graph.
    weight
        Weight w of the source.
    embeddings_only
        Whether the model's scores are those of the embeddings only, without the mask of self-loops and the prior.
    """

    model: KGEModel
    source: Ranker
    weight: float
    embeddings_only: bool = False

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) for queries (b,) with internal relation ids, every row once."""
        for rows, other in self.source.blocks(heads, relations):
            own = model_scores(self.model, heads[rows], relations[rows], self.embeddings_only)
            yield rows, own.log_softmax(1) + self.weight * other.log_softmax(1)


def model_scores(model: KGEModel, heads: Tensor, relations: Tensor, embeddings_only: bool) -> Tensor:
    """Scores (b, e) of every entity; masked entities have -inf."""
    if embeddings_only:
        return model.score_all(heads, relations)
    scores = model.entity.new_empty(len(heads), model.num_entities)
    for rows, block in model.answers(heads, relations):
        scores[rows] = block
    return scores


@dataclass(frozen=True)
class Compared:
    """Ranks (2n,) of triples by the source alone, and by a model plus the source, for each condition and weight."""

    source: Ranks
    sums: dict[str, dict[float, Ranks]]
    """Condition ("embeddings_only", "with_prior") -> weight -> ranks; weight 0 is the model alone."""

    def best(self) -> dict[str, float]:
        """The weight with the best MRR of each condition; of equal ones the smallest."""
        return {
            condition: max(sorted(by_weight), key=lambda weight: by_weight[weight].metrics()["mrr"])
            for condition, by_weight in self.sums.items()
        }


def drawn(total: int, count: int | None, seed: int) -> NDArray[np.int64]:
    """Ascending positions below ``total``: ``count`` at random, or all where there are not more."""
    if count is None or count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).choice(total, count, replace=False))


def compare(
    model: KGEModel | None,
    source: Ranker,
    graph: TripleSet,
    triples: NDArray[np.int64],
    weights: Mapping[str, tuple[float, ...]],
    known: KnownAnswers | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Compared:
    """Rank triples (n, 3) in both directions, filtered, by the source and by its sums with a model.

    Parameters
    ----------
    model
        None: the source is ranked alone.
    weights
        Condition -> weights of the source; empty without a model.
    known
        Filter; None: that of the graph.
    progress
        Receives the number of queries that are ranked.

    Raises
    ------
    mulde.metrics.ranks.NonFiniteScores
        If a score is NaN or infinite.
    """
    pairs = with_reciprocals(triples)
    known = known or known_answers(graph, pairs)
    heads, relations, targets = torch.from_numpy(pairs).unbind(1)
    names = [("source", 0.0), *((condition, weight) for condition, own in weights.items() for weight in own)]
    better, tied = (np.zeros((len(pairs), len(names)), dtype=np.int64) for _ in range(2))
    candidates = np.zeros(len(pairs), dtype=np.int64)
    for rows, scores in source.blocks(heads, relations):
        filtered = [torch.from_numpy(ids) for ids in known.gather(heads[rows].numpy(), relations[rows].numpy())]
        other = scores.log_softmax(1)
        own = {
            condition: model_scores(model, heads[rows], relations[rows], condition == EMBEDDINGS).log_softmax(1)
            for condition in weights
            if model is not None
        }
        for place, (condition, weight) in enumerate(names):
            sums = scores if condition == "source" else own[condition] + weight * other
            found = rank(sums, targets[rows], *filtered)
            better[rows.numpy(), place], tied[rows.numpy(), place] = found.better, found.tied
            candidates[rows.numpy()] = found.candidates
        progress(len(rows))
    by_name = {name: Ranks(better[:, place], tied[:, place], candidates) for place, name in enumerate(names)}
    return Compared(
        by_name["source", 0.0],
        {condition: {weight: by_name[condition, weight] for weight in own} for condition, own in weights.items()},
    )


def conditions(model: KGEModel) -> list[str]:
    """What is ranked: the embeddings only, and the complete model where it has a mask or a prior."""
    plain = model.graph_prior is None and bool(model.self_loops.all())
    return [EMBEDDINGS] if plain else [EMBEDDINGS, COMPLETE]


def keep_weights(folder: Path, weights: dict[str, float], identity: dict[str, Any]) -> None:
    """Write fitted weights beside a model, with what they belong to."""
    write_json(folder / FILE, {"weights": weights, **identity})


def kept_weights(folder: Path, identity: dict[str, Any]) -> dict[str, float] | None:
    """The fitted weights beside a model; None if there are none for this model and source."""
    found = schema.read(folder / FILE, contents.ADDED)
    if found is None or any(found.get(name) != value for name, value in identity.items()):
        return None
    weights: dict[str, float] = found["weights"]
    return weights
