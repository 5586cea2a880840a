"""Generated images of shapes: any number of labelled images from a seed, for checks with large test sets."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.vision.data.images import ImageSet

SHAPES = ("disc", "ring", "square", "frame", "triangle", "plus", "cross", "bar")


def shapes(count: int, size: int = 16, seed: int = 0, channels: int = 1, noise: float = 0.15) -> ImageSet:
    """`count` images of eight kinds of shapes, random in place, size, turn and brightness, on a noisy ground.

    Parameters
    ----------
    size
        Rows and columns.
    channels
        1 or 3; the colour does not depend on the class.
    noise
        Standard deviation of the grain.
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(SHAPES))
    images = np.empty((count, channels, size, size), np.float32)
    for i, label in enumerate(labels):
        mask = _mask(SHAPES[label], size, random)
        ground, ink = random.uniform(0, 0.4, (channels, 1, 1)), random.uniform(0.6, 1, (channels, 1, 1))
        grain = noise * random.standard_normal((channels, size, size))
        images[i] = np.clip(ground + (ink - ground) * mask + grain, 0, 1)
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), SHAPES, "shapes")


def _mask(shape: str, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Mask of the shape, (size, size) in [0, 1]."""
    radius = random.uniform(0.22, 0.4) * size
    centre = random.uniform(radius, size - radius, 2)
    turn = random.uniform(-0.35, 0.35)
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    y, x = rows - centre[0], columns - centre[1]
    u = (np.cos(turn) * x + np.sin(turn) * y) / radius
    v = (np.cos(turn) * y - np.sin(turn) * x) / radius
    inside = depth_inside(shape, u, v)
    return np.asarray(1 / (1 + np.exp(-radius * 2 * inside)))


def depth_inside(shape: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance-like depth in units of the radius, positive inside."""
    distance, box = np.hypot(u, v), np.maximum(abs(u), abs(v))
    match shape:
        case "disc":
            return 1 - distance
        case "ring":
            return 0.25 - abs(distance - 0.75)
        case "square":
            return 0.85 - box
        case "frame":
            return 0.2 - abs(box - 0.7)
        case "triangle":
            return np.minimum(0.6 - v, (v + 1 - 1.7 * abs(u)) / 2)
        case "plus":
            return np.minimum(0.95 - box, 0.25 - np.minimum(abs(u), abs(v)))
        case "cross":
            return np.minimum(0.95 - box, 0.25 - abs(abs(u) - abs(v)) / 1.4)
    return np.minimum(1 - abs(u), 0.3 - abs(v))
