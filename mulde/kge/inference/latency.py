"""Latency of single queries, see `mulde.engine.latency`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kge_data.inverse import num_internal
from mulde.engine import latency
from mulde.engine.latency import Latency
from mulde.kge.evaluation.link_prediction import Ranker
from mulde.kge.inference.onnx_runtime import session
from mulde.kge.model.directions import Ids
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.selection import best

TOP, QUERIES = 10, 200
Engine = Callable[[int, int], Any]
"""A head and an internal relation -> the answer, which is not used."""


def torch_engine(model: KGEModel) -> Engine:
    """Ids of the ten best tails with torch, as `mulde predict` finds them."""

    def answer(head: int, relation: int) -> Any:
        _, scores = next(model.answers(torch.tensor([head]), torch.tensor([relation])))
        return best(scores, TOP)[0]

    return answer


def onnx_engine(content: bytes, threads: int) -> Engine:
    """Ids of the ten best tails with ONNX Runtime, unordered; ``content``: an exported model."""
    opened = session(content, threads)

    def answer(head: int, relation: int) -> Any:
        scores = opened.run(None, {"heads": np.array([head]), "relations": np.array([relation])})[0][0]
        return np.argpartition(scores, max(0, len(scores) - TOP))[-TOP:]

    return answer


def ranker_engine(ranker: Ranker) -> Engine:
    """Scores of all entities by a model, an ensemble or a Senior."""

    def answer(head: int, relation: int) -> Any:
        for _ in ranker.blocks(torch.tensor([head]), torch.tensor([relation])):
            pass

    return answer


def random_queries(model: KGEModel, count: int = QUERIES, seed: int = 0) -> Ids:
    """Random heads and internal relations (count, 2) of a model."""
    draw = np.random.default_rng(seed)
    heads, relations = (draw.integers(0, n, count) for n in (model.num_entities, num_internal(model.num_relations)))
    return np.stack([heads, relations], axis=1)


def measure(engines: Mapping[str, Engine], queries: Ids) -> dict[str, Latency]:
    """Latency of each engine on queries (n, 2), heads and internal relations."""
    return latency.measure(engines, [(head, relation) for head, relation in queries.tolist()])
