"""A small graph, small models and one batch, for tests of methods on triples."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch

from kge_data import TripleSet, from_triples
from mulde.config import from_dict
from mulde.engine import Clock
from mulde.kge.feeds import QueryBatch, QueryFeed
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.disth import DistH
from mulde.kge.scorers.hyperbolic_transe import HyperbolicTransE
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.ensemble import Ensemble

C = TypeVar("C")
BEGINNING = Clock(step=0, epoch=0, epochs=10, progress=0.0)
FOUR: tuple[type[Scorer], ...] = (HyperbolicTransE, DistH, RotH, RefH)  # MulDE's ensemble


def toy_graph(entities: int = 25, relations: int = 3, seed: int = 0) -> TripleSet:
    """100 random triples, 70 of them to train on; not every entity occurs in train."""
    draw = np.random.default_rng(seed)
    triples = {
        (f"e{h:02}", f"r{r}", f"e{t:02}")
        for h, r, t in zip(
            draw.integers(0, entities, 110),
            draw.integers(0, relations, 110),
            draw.integers(0, entities, 110),
            strict=True,
        )
    }
    chosen = sorted(triples)[:100]
    order = draw.permutation(len(chosen))
    shuffled = [chosen[i] for i in order]
    return from_triples(shuffled[:70], shuffled[70:80], shuffled[80:], name="toy")


def model(graph: TripleSet, scorer: type[Scorer] = RotH, dim: int = 6, seed: int = 0, spread: float = 0.4) -> KGEModel:
    """An untrained model whose vectors have some length, so that its scores differ."""
    config = ModelConfig(dim=dim, dtype="float64", init_scale=spread)
    return KGEModel(scorer, graph.num_entities, graph.num_relations, config, seed)


def ensemble(graph: TripleSet, scorers: tuple[type[Scorer], ...] = FOUR, dim: int = 8) -> Ensemble:
    """Untrained teachers of another dimension than the Junior, each with a seed of its own."""
    return Ensemble([model(graph, scorer, dim, seed=100 + i) for i, scorer in enumerate(scorers)])


def feed(graph: TripleSet, batch_size: int = 20, negatives: int = 5, seed: int = 0, known: bool = False) -> QueryFeed:
    return QueryFeed(graph, batch_size, negatives, seed=seed, known=known)


def batch(graph: TripleSet, size: int = 20, known: bool = False) -> QueryBatch:
    return next(iter(feed(graph, size, known=known)))


def options(config_type: type[C], **values: Any) -> C:
    """A Config with these values, those of its parts by their own names."""
    return from_dict(config_type, values)  # type: ignore[type-var]


def ids(graph: TripleSet, rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Random candidates (rows, columns), distinct within a row."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, graph.num_entities, generator=generator).argsort(1)[:, :columns]
