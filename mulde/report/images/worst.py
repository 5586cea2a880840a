"""The worst errors of a student, and pictures that the training has kept, embedded in the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.metrics.classification import confusion
from mulde.metrics.detection import overlaps
from mulde.metrics.segmentation import UNKNOWN, iou_of_counts
from mulde.vision.inference.answers import Outputs, softmax
from mulde.vision.inference.evaluation import logits_of, outputs_of
from mulde.vision.inference.labelled import Labelled
from mulde.vision.pictures.reading import pillow
from mulde.vision.storage.sheet import FOLDER

SHOWN = 12
SCORE, OVERLAP = 0.3, 0.5  # of boxes that count as found, and as right
ENLARGED = 256  # columns of a picture with boxes
COLOURS = np.array(
    [
        [0, 0, 0],
        [230, 97, 1],
        [94, 60, 153],
        [0, 136, 55],
        [202, 0, 32],
        [5, 113, 176],
        [253, 184, 99],
        [178, 171, 210],
    ],
    np.uint8,
)
"""Colours of classes in masks; further ones repeat."""


@dataclass
class Gallery:
    """Pictures with captions."""

    title: str
    about: str
    pictures: list[tuple[str, str]] = field(default_factory=list)
    """(data URI, caption)"""


def worst_errors(model: Outputs, data: Labelled) -> Gallery | None:
    """The worst errors; None where there are none, and for embeddings, which have no errors of their own."""
    by_task = {"classify": _classes, "detect": _boxes, "segment": _masks}
    if model.task not in by_task:
        return None
    found = by_task[model.task](model, data.images)
    return found if found.pictures else None


def _classes(model: Outputs, images: Any) -> Gallery:
    """Wrong classes with the highest probability."""
    probabilities, labels = softmax(logits_of(model, images)), images.labels.numpy()
    predicted, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != labels)
    rows = wrong[np.argsort(-sure[wrong], kind="stable")][:SHOWN]
    pictures = []
    for row in rows.tolist():
        true, answer = model.classes[labels[row]], model.classes[predicted[row]]
        pictures.append((as_uri(picture_of(images, row)), f"{true}, predicted {answer} ({100 * sure[row]:.0f} %)"))
    about = (
        f"{len(wrong):,} of {len(labels):,} pictures are classified wrongly. Shown are those of which the student is "
        "surest: the true class, the predicted class and its probability."
    )
    return Gallery("Worst errors", about, pictures)


def _masks(model: Outputs, images: Any) -> Gallery:
    """Pictures with the lowest mean IoU: picture, true and predicted classes."""
    classes, found = len(model.classes), []
    for rows, (logits,) in outputs_of(model, images):
        predicted, truth = logits.argmax(1)[0], images.labels[rows][0].numpy()
        known = truth != UNKNOWN
        if known.any():
            ious = iou_of_counts(confusion(predicted[known], truth[known], classes))
            found.append((float(np.nanmean(ious)), int(rows[0]), predicted, truth))
    pictures = []
    for score, row, predicted, truth in sorted(found, key=lambda entry: entry[:2])[:SHOWN]:
        both = [COLOURS[np.maximum(ids, 0) % len(COLOURS)] for ids in (truth, predicted)]
        pixels = np.concatenate([picture_of(images, row), *both], 1)
        pictures.append((as_uri(pixels), f"mean IoU {score:.2f}: picture, true classes, predicted classes"))
    return Gallery("Worst errors", "The pictures with the lowest mean IoU over their classes.", pictures)


def _boxes(model: Outputs, images: Any) -> Gallery:
    """Pictures with most missed and false objects."""
    found, row = [], 0
    for _, (boxes, scores, labels) in outputs_of(model, images):
        for box, score, label in zip(boxes, scores, labels, strict=True):
            kept, real = (label >= 0) & (score >= SCORE), (images.labels[row] >= 0).numpy()
            true, true_labels = images.boxes[row].numpy()[real], images.labels[row].numpy()[real]
            near = (overlaps(box[kept], true) >= OVERLAP) & (label[kept][:, None] == true_labels[None])
            wrong = int((~near.any(1)).sum() + (~near.any(0)).sum())
            found.append((-wrong, row, box[kept], true))
            row += 1
    pictures = []
    for wrong, row, boxes, true in sorted(found, key=lambda entry: entry[:2])[:SHOWN]:
        if wrong:
            drawn = _drawn(picture_of(images, row), boxes, true)
            caption = f"{-wrong} errors: {len(true)} true objects (green), {len(boxes)} found (orange)"
            pictures.append((as_uri(drawn), caption))
    about = (
        f"Pictures with most errors: true objects that no box of their class covers by an IoU of {OVERLAP}, and boxes "
        f"with a score of at least {SCORE} that cover none."
    )
    return Gallery("Worst errors", about, pictures)


def _drawn(pixels: NDArray[np.uint8], found: NDArray[Any], true: NDArray[Any]) -> NDArray[np.uint8]:
    from PIL import ImageDraw

    factor = max(1, ENLARGED // pixels.shape[1])
    picture = pillow().fromarray(pixels).resize((factor * pixels.shape[1], factor * pixels.shape[0]), 0)
    draw = ImageDraw.Draw(picture)
    for boxes, colour in ((true, (0, 200, 90)), (found, (255, 140, 0))):
        for box in boxes:
            draw.rectangle([float(side) * factor for side in box], outline=colour, width=2)
    return np.asarray(picture)


def picture_of(images: Any, row: int) -> NDArray[np.uint8]:
    """An image of a set as uint8 (h, w, 3)."""
    values = images.pixels(torch.tensor([row]))
    if images.scale is not None:
        values = values * images.scale[1] + images.scale[0]
    pixels = (255 * values[0].clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def kept_pictures(folder: Path) -> list[Gallery]:
    """The pictures that a training has kept in its folder, for example generated ones."""
    sheets = [] if folder.is_file() else sorted((folder / FOLDER).glob("*.png"))
    about = "Pictures that the training has kept."
    return [Gallery(f"Pictures: {path.stem}", about, [(_uri(path.read_bytes()), path.stem)]) for path in sheets]


def as_uri(pixels: NDArray[np.uint8]) -> str:
    """A picture as a data URI of PNG."""
    stream = io.BytesIO()
    pillow().fromarray(pixels).save(stream, "PNG")
    return _uri(stream.getvalue())


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
