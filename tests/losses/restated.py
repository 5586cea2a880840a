"""The formulas of the papers restated in numpy with loops."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def drawn(*shape: int, seed: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(logits: Array) -> Array:
    exponential = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(-1, keepdims=True))


def kl(p: Array, q: Array) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))


def not_true(target: Array, scores: Array, labels: list[int], temperature: float) -> float:
    rows = []
    for t, s, y in zip(target, scores, labels, strict=True):
        rows.append(kl(softmax(np.delete(t, y) / temperature), softmax(np.delete(s, y) / temperature)))
    return temperature**2 * float(np.mean(rows))


def target_class(target: Array, scores: Array, labels: list[int], temperature: float) -> float:
    rows = []
    for t, s, y in zip(softmax(target / temperature), softmax(scores / temperature), labels, strict=True):
        rows.append(kl(np.array([t[y], 1 - t[y]]), np.array([s[y], 1 - s[y]])))
    return temperature**2 * float(np.mean(rows))


def dist(target: Array, scores: Array, temperature: float, beta: float, gamma: float) -> float:
    p, q = softmax(target / temperature), softmax(scores / temperature)
    rows = np.mean([np.corrcoef(p[i], q[i])[0, 1] for i in range(len(p))])
    columns = np.mean([np.corrcoef(p[:, j], q[:, j])[0, 1] for j in range(p.shape[1])])
    return float(temperature**2 * (beta * (1 - rows) + gamma * (1 - columns)))


def attention(features: Array, power: float) -> Array:
    """Unit map of one image (d, h, w)."""
    flat = (np.abs(features) ** power).mean(0).ravel()
    return np.asarray(flat / np.sqrt((flat**2).sum()))


def huber(difference: float) -> float:
    return 0.5 * difference**2 if abs(difference) < 1 else abs(difference) - 0.5


def rkd_distance(own: Array, target: Array) -> float:
    def relative(x: Array) -> Array:
        d = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])
        return np.asarray(d / d[d > 0].mean())

    difference = relative(own) - relative(target)
    return float(np.mean([huber(value) for value in difference.ravel()]))


def rkd_angle(own: Array, target: Array) -> float:
    def cosine(x: Array, i: int, j: int, k: int) -> float:
        if i in (j, k):
            return 0.0
        a, b = x[j] - x[i], x[k] - x[i]
        return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))

    triplets = itertools.product(range(len(own)), repeat=3)
    return float(np.mean([huber(cosine(own, *t) - cosine(target, *t)) for t in triplets]))


def nt_xent(first: Array, second: Array, temperature: float) -> float:
    vectors = [v / np.sqrt(v @ v) for v in (*first, *second)]
    size, total = len(first), 0.0
    for i, u in enumerate(vectors):
        partner = (i + size) % (2 * size)
        others = sum(np.exp(u @ v / temperature) for k, v in enumerate(vectors) if k != i)
        total -= np.log(np.exp(u @ vectors[partner] / temperature) / others)
    return float(total / (2 * size))
