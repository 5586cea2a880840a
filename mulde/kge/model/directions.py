"""Scores of triples in both directions: (h, r, ?) → t, and (?, r, t) → h through the reciprocal relation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.kge.model.kge_model import KGEModel

Ids = NDArray[np.int64]
PAIRS = 1 << 16  # triples scored at a time


def readings(model: KGEModel, heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
    """Both scores of each triple (b,), user relation ids -> (b, 2): of its tail, and of its head."""
    columns = [torch.from_numpy(np.ascontiguousarray(ids)).to(model.entity.device) for ids in (heads, relations, tails)]
    parts = []
    with torch.no_grad():
        for head, relation, tail in zip(*(column.split(PAIRS) for column in columns), strict=True):
            both = model.score(head, 2 * relation, tail), model.score(tail, 2 * relation + 1, head)
            parts.append(torch.stack(both, 1).cpu().numpy())
    return np.concatenate(parts)
