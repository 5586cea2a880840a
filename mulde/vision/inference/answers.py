"""Answers for pictures, from the outputs of a network, as rows of a table. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mulde.vision.inference.transform import Array, Transform
from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.reading import BrokenPicture, Pixels

BATCH = 64


class Outputs(Protocol):
    """A student that computes on arrays."""

    @property
    def task(self) -> str:
        """classify, detect, segment or embed."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the logits."""

    @property
    def transform(self) -> Transform:
        """Its input."""

    def compute(self, images: Array) -> list[NDArray[Any]]:
        """Outputs for images (b, channels, h, w).

        classify: logits (b, k). segment: logits (b, k, h, w). embed: features (b, d). detect: boxes (b, n, 4), scores
        (b, n), labels (b, n), -1 in empty places.
        """


@dataclass(frozen=True)
class Answer:
    """The answer for one picture."""

    file: DataFile
    size: tuple[int, int]
    """Rows and columns of the picture."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Classes with probabilities, or boxes in pixels of the picture, or classes with their fraction of pixels."""
    mask: NDArray[np.uint8] | None = None
    """Class (h, w) of every pixel of the picture."""


def answers(
    model: Outputs, files: Sequence[DataFile], *, top: int = 1, least: float = 0.3, broken: list[str] | None = None
) -> Iterator[Answer]:
    """The answers for pictures, in order.

    Parameters
    ----------
    top
        Number of classes for each picture.
    least
        Smallest score of a box.
    broken
        Receives a sentence for each picture that cannot be read, and the picture is left out; None: an error.

    Raises
    ------
    BrokenPicture
        For a picture that cannot be read.
    """
    waiting: list[tuple[DataFile, Pixels, tuple[int, int]]] = []
    for file in files:
        try:
            pixels, size = model.transform.read(file)
        except BrokenPicture as error:
            if broken is None:
                raise
            broken.append(str(error))
            continue
        full = 1 if model.task == "segment" else BATCH  # a network may normalise by the statistics of its batch
        if waiting and (len(waiting) == full or waiting[0][1].shape != pixels.shape):
            yield from _answered(model, waiting, top, least)
            waiting = []
        waiting.append((file, pixels, size))
    if waiting:
        yield from _answered(model, waiting, top, least)


def softmax(logits: NDArray[Any], axis: int = 1) -> NDArray[np.float64]:
    """Probabilities along an axis."""
    shifted = np.exp(np.asarray(logits, np.float64) - logits.max(axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis, keepdims=True))


def _answered(
    model: Outputs, pictures: Sequence[tuple[DataFile, Pixels, tuple[int, int]]], top: int, least: float
) -> Iterator[Answer]:
    found = model.compute(np.stack([model.transform.normalised(pixels) for _, pixels, _ in pictures]))
    for i, (file, pixels, size) in enumerate(pictures):
        own = [output[i] for output in found]
        if model.task == "segment":
            mask = _enlarged(own[0].argmax(0).astype(np.uint8), size)
            yield Answer(file, size, _fractions(mask, model.classes), mask)
        elif model.task == "detect":
            scale = np.array([size[1] / pixels.shape[1], size[0] / pixels.shape[0]] * 2)
            yield Answer(file, size, _boxes(own, scale, model.classes, least))
        elif model.task == "embed":
            yield Answer(file, size, [{f"x{j}": float(value) for j, value in enumerate(own[0])}])
        else:
            yield Answer(file, size, _classes(own[0], model.classes, top))


def _classes(logits: NDArray[Any], classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    probabilities = softmax(logits, 0)
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [{"class": classes[i], "probability": float(probabilities[i])} for i in best]


def _boxes(
    found: Sequence[NDArray[Any]], scale: NDArray[Any], classes: Sequence[str], least: float
) -> list[dict[str, Any]]:
    boxes, scores, labels = found
    return [
        {
            "class": classes[int(label)],
            "score": float(score),
            **dict(zip(("left", "top", "right", "bottom"), (float(value) for value in box * scale), strict=True)),
        }
        for box, score, label in zip(boxes, scores, labels, strict=True)
        if label >= 0 and score >= least
    ]


def _fractions(mask: NDArray[np.uint8], classes: Sequence[str]) -> list[dict[str, Any]]:
    counts = np.bincount(mask.ravel(), minlength=len(classes))
    return [{"class": classes[i], "fraction": float(counts[i] / mask.size)} for i in np.argsort(-counts) if counts[i]]


def _enlarged(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask in another size, by the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]
