"""The k best columns of a matrix of scores; on the CPU far faster than ``torch.topk`` for k of some hundreds.

On the CPU numpy selects, see ``columns.py``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mulde.kge.model.columns import best_columns, thresholds


def largest(scores: Tensor, k: int) -> Tensor:
    """Column ids (b, k) of the k largest scores of each row (b, e): the least of them first, the others in any order.

    All columns where there are fewer than k.
    """
    count = scores.shape[1]
    if k >= count:
        return scores.argsort(1)
    if scores.device.type != "cpu" or scores.dtype not in (torch.float32, torch.float64):
        return scores.topk(k).indices.flip(1)
    rows = scores.numpy()
    limits = thresholds(rows, k)
    if limits is None:
        return torch.from_numpy(np.argpartition(rows, count - k, axis=1)[:, count - k :])
    chosen = np.empty((len(rows), k), dtype=np.int64)
    for row, limit, best in zip(rows, limits, chosen, strict=True):
        passing = np.flatnonzero(row >= limit)
        if len(passing) < k:  # the threshold was too high
            passing = np.arange(count)
        best[:] = passing[np.argpartition(row[passing], len(passing) - k)[len(passing) - k :]]
    return torch.from_numpy(chosen)


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Column ids (b, k) of the k largest scores of each row, and these scores: the best first, equal ones by column.

    All columns where there are fewer than k. Off the CPU the choice among ties at the k-th place is arbitrary.
    """
    if scores.device.type == "cpu":
        found, values = best_columns(scores.numpy(), k)
        return torch.from_numpy(found), torch.from_numpy(values)
    ids = scores.topk(min(k, scores.shape[1])).indices.sort(1).values
    ids = ids.gather(1, scores.gather(1, ids).argsort(dim=1, descending=True, stable=True))
    return ids, scores.gather(1, ids)
