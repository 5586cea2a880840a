"""How long one query takes, from ids to the ten best entities, at a fixed number of threads.

Engines answer the same queries by turns, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.kge.inference.onnx_runtime import session
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.selection import best

TOP, WARM_UP, QUERIES = 10, 20, 200
Engine = Callable[[int, int], Any]  # entity and internal relation -> answers


def torch_engine(model: KGEModel) -> Engine:
    """The model as `mulde predict` asks it, with what the graph says about the entities."""

    def ask(head: int, relation: int) -> Any:
        _, scores = next(model.answers(torch.tensor([head]), torch.tensor([relation])))
        return best(scores, TOP)[0]

    return ask


def onnx_engine(content: bytes, threads: int) -> Engine:
    """An exported model on ONNX Runtime."""
    opened = session(content, threads)

    def ask(head: int, relation: int) -> Any:
        scores = opened.run(None, {"heads": np.array([head]), "relations": np.array([relation])})[0][0]
        return np.argpartition(scores, max(0, len(scores) - TOP))[-TOP:]

    return ask


def measure(
    engines: Mapping[str, Engine], model: KGEModel, queries: int = QUERIES, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows: engine, and the 50th and 95th percentile in milliseconds over random queries."""
    draw = np.random.default_rng(seed)
    heads = draw.integers(0, model.num_entities, WARM_UP + queries)
    relations = draw.integers(0, 2 * model.num_relations, WARM_UP + queries)
    seconds: dict[str, NDArray[np.float64]] = {name: np.empty(len(heads)) for name in engines}
    for i, (head, relation) in enumerate(zip(heads.tolist(), relations.tolist(), strict=True)):
        for name, ask in engines.items():
            began = time.perf_counter()
            ask(head, relation)
            seconds[name][i] = time.perf_counter() - began
    rows = []
    for name, times in seconds.items():
        p50, p95 = (float(value) for value in 1000 * np.percentile(times[WARM_UP:], (50, 95)))
        rows.append({"engine": name, "p50 ms": p50, "p95 ms": p95})
    return rows
