"""Scores of triples in both directions: of the tail by (h, r, ?), of the head by the reciprocal relation (?, r, t)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.inverse import forward_id, reciprocal_id
from mulde.kge.model.kge_model import KGEModel

Ids = NDArray[np.int64]
PAIRS = 1 << 16  # triples scored at a time


def score_both_directions(model: KGEModel, heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
    """Scores (b, 2) of triples (b,) with user relation ids: of the tail, and of the head."""
    columns = [torch.from_numpy(np.ascontiguousarray(ids)).to(model.entity.device) for ids in (heads, relations, tails)]
    parts = []
    with torch.no_grad():
        for head, relation, tail in zip(*(column.split(PAIRS) for column in columns), strict=True):
            both = model.score(head, forward_id(relation), tail), model.score(tail, reciprocal_id(relation), head)
            parts.append(torch.stack(both, 1).cpu().numpy())
    return np.concatenate(parts)
