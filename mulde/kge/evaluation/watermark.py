"""Detection of a watermark in a model of a graph, from its scores of training queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from kge_data.tripleset import TripleSet
from mulde.kge.feeds import AnswerFeed
from mulde.kge.teachers.watermark import pattern_of
from mulde.metrics.watermark import correlations, detection, projections
from mulde.watermark import COMPARED, key_in, other_keys

QUERIES, ROWS = 2000, 64
"""Most queries, and queries at a time."""


@torch.no_grad()
def watermark_of(model: Any, graph: TripleSet, key: Path) -> dict[str, float]:
    """Whether the scores of a model have the watermark of a key.

    Parameters
    ----------
    model
        The suspect, with ``score_all``.
    graph
        The graph that it was distilled on; at most 2,000 of its training queries are used.
    key
        File with the key.

    Returns
    -------
    See `mulde.metrics.watermark.detection`.

    Raises
    ------
    UsageError
        If the file with the key cannot be read.
    """
    keys = [key_in(key), *other_keys(COMPARED)]
    patterns = [pattern_of(each, graph.num_entities, graph.num_relations) for each in keys]
    signs = torch.stack([each.tails for each in patterns]).numpy()
    queries = AnswerFeed(graph, 1)
    chosen = torch.linspace(0, queries.count - 1, min(QUERIES, queries.count)).round().long()
    heads, relations = queries.heads[chosen], queries.relations[chosen]
    device = next(model.parameters()).device
    projected = [
        projections(model.score_all(heads[rows].to(device), relations[rows].to(device)).float().cpu().numpy(), signs)
        for rows in torch.arange(len(heads)).split(ROWS)
    ]
    carriers = torch.stack([each.relations[relations] for each in patterns], 1).numpy()
    return detection(correlations(np.concatenate(projected), carriers, np.zeros(len(heads), np.int64)))
