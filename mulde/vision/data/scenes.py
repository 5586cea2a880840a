"""Drawn scenes for detectors: discs, squares and triangles with known boxes, on a textured ground with strokes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.vision.data.boxes import DetectionSet, padded
from mulde.vision.data.shapes import depth_inside

KINDS = ("disc", "square", "triangle")
EMPTY, MOST = 0.05, 3


def scenes(count: int, size: int = 64, seed: int = 0, channels: int = 1, noise: float = 0.12) -> DetectionSet:
    """`count` images of up to three objects; one image in twenty is empty.

    Parameters
    ----------
    size
        Rows and columns; objects measure 0.16 to 0.44 of it and overlap little.
    channels
        1 or 3; the colour does not depend on the class.
    noise
        Standard deviation of the grain.
    """
    random = np.random.default_rng(seed)
    images = np.empty((count, channels, size, size), np.float32)
    objects = []
    for i in range(count):
        image = _ground(size, channels, random)
        boxes: list[tuple[float, ...]] = []
        kinds: list[int] = []
        for _ in range(0 if random.random() < EMPTY else random.integers(1, MOST + 1)):
            kind = int(random.integers(len(KINDS)))
            mask = _placed(KINDS[kind], size, boxes, random)
            if mask is None:
                continue
            ink = random.uniform(0.45, 0.95, (channels, 1, 1))
            image += mask * (ink - image)
            kinds.append(kind)
        images[i] = np.clip(image + noise * random.standard_normal(image.shape), 0, 1)
        objects.append((torch.tensor(boxes, dtype=torch.float32).view(-1, 4), torch.tensor(kinds, dtype=torch.int64)))
    return padded(torch.from_numpy(images), objects, KINDS, "scenes")


def _ground(size: int, channels: int, random: np.random.Generator) -> NDArray[np.float64]:
    """The ground: a slow wave and two to five strokes that are not objects."""
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    waves, phase = random.uniform(-4, 4, 2), random.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * (waves[0] * rows + waves[1] * columns) / size + phase)
    image = random.uniform(0.1, 0.35, (channels, 1, 1)) + 0.06 * wave
    for _ in range(random.integers(2, 6)):
        centre, turn = random.uniform(0, size, 2), random.uniform(0, np.pi)
        along = np.cos(turn) * (columns - centre[1]) + np.sin(turn) * (rows - centre[0])
        across = np.cos(turn) * (rows - centre[0]) - np.sin(turn) * (columns - centre[1])
        stroke = (abs(along) < random.uniform(0.06, 0.2) * size) & (abs(across) < random.uniform(0.6, 1.6))
        image += stroke * random.uniform(0.1, 0.45)
    return image


def _placed(
    kind: str, size: int, boxes: list[tuple[float, ...]], random: np.random.Generator
) -> NDArray[np.float64] | None:
    """A mask (size, size) in [0, 1] whose box, added to `boxes`, overlaps the others little, or None."""
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    for _ in range(20):
        radius = random.uniform(0.09, 0.22) * size
        centre = random.uniform(radius, size - radius, 2)
        turn = random.uniform(-0.35, 0.35)
        y, x = rows - centre[0], columns - centre[1]
        u = (np.cos(turn) * x + np.sin(turn) * y) / radius
        v = (np.cos(turn) * y - np.sin(turn) * x) / radius
        mask = np.asarray(1 / (1 + np.exp(-4 * radius * depth_inside(kind, u, v))))
        down, right = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
        box = (right[0], down[0], right[-1] + 1.0, down[-1] + 1.0)
        if all(_shared(box, other) < 0.15 for other in boxes):
            boxes.append(box)
            return mask
    return None


def _shared(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """The intersection of two boxes as a fraction of the smaller one."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return max(0.0, width) * max(0.0, height) / smaller
