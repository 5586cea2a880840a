"""Losses between the relations of tokens inside the attention of two transformers."""

from __future__ import annotations

from torch import Tensor

from mulde.losses.soft_labels import kd


def relation(first: Tensor, second: Tensor) -> Tensor:
    """Logits of the relations of tokens, A Bᵀ / √d of each head: two (b, heads, n, d) -> (b, heads, n, n)."""
    return first @ second.transpose(-2, -1) * first.shape[-1] ** -0.5


def relation_kl(target: Tensor, own: Tensor) -> Tensor:
    """KL(softmax target ‖ softmax own) of relations (b, heads, n, n), summed over the last axis, mean over the others.

    TinyMIM (Ren et al. 2023). Widths may differ, because d has gone; numbers of heads and tokens may not.
    """
    return kd(target, own, temperature=1.0)
