"""A teacher's output for a frame as a class and a weight for every pixel; count and duration of queries.

A teacher is any callable that takes a frame, uint8 (h, w, 3), and returns class ids (h, w), or `Instances`, which are
converted to class ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from mulde.errors import UsageError
from mulde.user_code import named
from mulde.vision.pictures.class_maps import class_map, coding_of, paired
from mulde.vision.pictures.files import frames_in
from mulde.vision.pictures.reading import read_header
from mulde.vision.video.reading import ClassMap, Image, PictureFolder, Video

Teacher = Callable[[Image, int], Any]
"""Frame and its number -> class ids or `Instances`."""
Box = tuple[float, float, float, float]
"""top, left, bottom, right; bottom and right are exclusive."""


@dataclass(frozen=True)
class Instances:
    """Objects that a detector found."""

    masks: ArrayLike
    """(n, h, w), true or more than 0.5 inside."""
    classes: ArrayLike
    """(n,) ids from 1; 0 is the background."""
    scores: ArrayLike
    """(n,) confidences."""
    boxes: Iterable[Box] | None = None
    """n boxes; None: those around the masks."""


def painted(found: Instances, confidence: float = 0.5) -> tuple[ClassMap, list[Box]]:
    """Class map of instances above a confidence, the most confident on top, and their boxes."""
    masks, classes, scores = np.asarray(found.masks), np.asarray(found.classes), np.asarray(found.scores)
    given = None if found.boxes is None else list(found.boxes)
    labels = np.zeros(masks.shape[1:], np.int64)
    boxes = []
    for i in scores.argsort(kind="stable"):
        inside = masks[i] > 0.5
        if scores[i] > confidence and inside.any():
            labels[inside] = classes[i]
            boxes.append(_around(inside) if given is None else given[i])
    return labels, boxes


def boxes_of(labels: ClassMap) -> list[Box]:
    """The boxes around all connected regions of one class other than the background."""
    regions = [ndimage.label(labels == label)[0] for label in np.unique(labels[labels > 0])]
    return [
        (rows.start, columns.start, rows.stop, columns.stop)
        for region in regions
        for rows, columns in ndimage.find_objects(region)
    ]


def box_weights(
    boxes: Iterable[Box], shape: tuple[int, int], weight: float = 5.0, margin: float = 0.15
) -> NDArray[np.float32]:
    """(h, w): `weight` inside every box, enlarged by `margin` of its side on each side, 1 elsewhere."""
    weights = np.ones(shape, np.float32)
    for top, left, bottom, right in boxes:
        y, x = margin * (bottom - top), margin * (right - left)
        rows = slice(max(0, round(top - y)), max(0, round(bottom + y)))
        weights[rows, max(0, round(left - x)) : max(0, round(right + x))] = weight
    return weights


class QueriedTeacher:
    """A teacher whose outputs are checked and converted to labels and weights; queries are counted."""

    def __init__(self, teacher: Teacher, classes: int, weight: float = 5.0, margin: float = 0.15) -> None:
        """classes: their number, the background included. weight, margin: see `box_weights`."""
        self.teacher, self.classes, self.weight, self.margin = teacher, classes, weight, margin
        self.calls, self.seconds = 0, 0.0

    def __call__(self, image: Image, number: int) -> tuple[ClassMap, NDArray[np.float32]]:
        """Labels and weights (h, w) of a frame. Raises UsageError for outputs of another shape or class."""
        begin = time.perf_counter()
        output = self.teacher(image, number)
        self.calls, self.seconds = self.calls + 1, self.seconds + time.perf_counter() - begin
        if isinstance(output, Instances):
            labels, boxes = painted(output)
        else:
            labels = np.asarray(output)
            boxes = boxes_of(labels) if labels.shape == image.shape[:2] else []
        if labels.shape != image.shape[:2] or not np.issubdtype(labels.dtype, np.integer):
            raise UsageError(
                f"the teacher's output for frame {number} should be class ids {image.shape[:2]}, "
                f"got {labels.dtype} {labels.shape}"
            )
        if labels.size and (labels.min() < -1 or labels.max() >= self.classes):
            raise UsageError(
                f"the teacher's output for frame {number} has classes from {labels.min()} to {labels.max()}, but there "
                f"are {self.classes} classes, counted from 0; say how many with --classes"
            )
        return labels.astype(np.int64), box_weights(boxes, labels.shape, self.weight, self.margin)


def teacher_called(name: str, video: Video | None = None, classes: int | None = None) -> Teacher:
    """The teacher of a name: module:function, file.py:function, or a folder with a class map for every frame.

    Parameters
    ----------
    video
        The frames. Where they are pictures, maps are paired with them by name.
    classes
        Number of classes, see `mulde.vision.pictures.class_maps.coding_of`.
    """
    if Path(name).is_dir():
        return _maps_in(Path(name), video, classes)
    if ":" not in name:
        raise UsageError(f"--teacher {name}: expected module:function, file.py:function or a folder of class maps")
    called, _ = named(name)
    if not callable(called):
        raise UsageError(f"--teacher {name}: expected a function, got {type(called).__name__}")
    return lambda image, number: called(image)


def _maps_in(folder: Path, video: Video | None, classes: int | None) -> Teacher:
    files = frames_in(folder)
    if not files:
        raise UsageError(f"{folder}: no pictures; expected a class map for every frame")
    frames = video.files if isinstance(video, PictureFolder) else None
    if frames is not None:
        files = paired(frames, files, str(folder))
    coding = coding_of(files, classes=classes)

    def answer(image: Image, number: int) -> ClassMap:
        if number >= len(files):
            raise UsageError(f"{folder} has {len(files)} class maps, but the stream has a frame {number + 1}")
        header = None if frames is None else read_header(frames[number])
        return class_map(files[number], header, (image.shape[1], image.shape[0]), coding)

    return answer


def _around(inside: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
