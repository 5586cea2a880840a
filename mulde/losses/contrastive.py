"""Losses that compare views: two views of one image belong together, other images do not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mulde.errors import UsageError
from mulde.losses.features import similarity_matrix


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5, memory: Tensor | None = None) -> Tensor:
    """Normalised temperature-scaled cross entropy, mean over all 2b vectors (SimCLR, Chen et al. 2020).

    Row i of both is the same image: one positive and 2b - 2 negatives for each vector. A loss of the whole
    batch, so batches must not be split.

    Parameters
    ----------
    first, second
        (b, d) projections of two views, of any length (cosines are taken).
    temperature
        τ.
    memory
        (n, d) projections of other images, further negatives for every vector (the memory of SimCLRv2).
    """
    if first.shape != second.shape:
        raise UsageError(f"expected two views of one shape; got {tuple(first.shape)} and {tuple(second.shape)}")
    size = len(first)
    both = torch.cat([first, second])
    similarities = similarity_matrix(both) / temperature
    itself = torch.eye(2 * size, dtype=torch.bool, device=first.device)
    partner = torch.arange(2 * size, device=first.device).roll(size)
    logits = similarities.masked_fill(itself, -torch.inf)
    if memory is not None:
        logits = torch.cat([logits, similarity_matrix(both, memory) / temperature], 1)
    return functional.cross_entropy(logits, partner)


def negative_cosine(predicted: Tensor, projected: Tensor) -> Tensor:
    """-mean cosine of the prediction from one view and the projection of the other (SimSiam); (b, d).

    The method has to stop the gradient of `projected`; otherwise all outputs collapse.
    """
    return -functional.cosine_similarity(predicted, projected, dim=1).mean()
