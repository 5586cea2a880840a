"""Labelled videos: loading by name, batches of frames, and teachers made from the true labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.pictures.class_maps import class_map, coding_of, paired
from mulde.vision.pictures.files import frames_in
from mulde.vision.pictures.reading import read_header
from mulde.vision.video.dense_labels import Teacher
from mulde.vision.video.generated import drifting
from mulde.vision.video.reading import ClassMap, Image, LabelledVideo, PictureFolder

FORMS = "drift:FRAMES,size=PIXELS or frames:FOLDER,masks=FOLDER,size=ROWS,void=VALUE"


@dataclass(frozen=True)
class FrameBatch:
    """b frames of one size with labels and weights of their pixels."""

    images: Tensor
    """(b, 3, h, w), standardised."""
    labels: Tensor
    """(b, h, w) int64, -1 where unknown."""
    weights: Tensor
    """(b, h, w)"""


MEAN, DEVIATION = 0.5, 0.25
"""Normalisation of the pixels of frames in [0, 1], the same for all channels."""


def standardised(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (b, h, w, 3) -> (b, 3, h, w) around zero."""
    return (torch.tensor(images).permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION


class LabelledFrames:
    """Batches of a labelled video's frames in random order with weights 1, for pre-training."""

    def __init__(self, video: LabelledVideo, batch_size: int, seed: int = 0) -> None:
        self.images, self.batch_size, self.seed = video, batch_size, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: draw its order."""
        random = np.random.default_rng((self.seed, epoch))
        self.rows, self.position = random.permutation(len(self.images)), 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def divide(self, rank: int, processes: int) -> None:
        """Raises UsageError, because the stream that follows is for one process."""
        raise UsageError(f"a stream is followed by one process, frame by frame; got {processes}; start one")

    def state_dict(self) -> dict[str, Any]:
        """Batches already delivered in this epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of `state`."""
        self.position = state["position"]

    def __iter__(self) -> Iterator[FrameBatch]:
        while self.position < len(self):
            rows = self.rows[self.position * self.batch_size :][: self.batch_size]
            self.position += 1
            labels = torch.from_numpy(self.images.labels[rows])
            yield FrameBatch(standardised(self.images.images[rows]), labels, torch.ones(labels.shape))


def rendered(video: LabelledVideo) -> Teacher:
    """A teacher that returns the true classes, shifted by up to a pixel."""

    def answer(image: Image, number: int) -> ClassMap:
        random = np.random.default_rng((video.seed, number))
        return np.roll(video.labels[number], random.integers(-1, 2, 2), (0, 1))

    return answer


def scrambled(teacher: Teacher) -> Teacher:
    """A control: the same teacher with the pixels of every class map shuffled."""

    def answer(image: Image, number: int) -> ClassMap:
        labels = np.asarray(teacher(image, number))
        return np.random.default_rng(number).permutation(labels.flatten()).reshape(labels.shape)

    return answer


def load_labelled(spec: str, seed: int = 0) -> LabelledVideo:
    """A labelled video as after --data; see `FORMS`. Raises UsageError.

    drift: three generated scenes. frames: pictures, and class maps of the same names; void: the value of pixels
    without a class, see `mulde.vision.pictures.class_maps`.
    """
    source, *words = spec.split(",")
    options = dict(word.partition("=")[::2] for word in words)
    kind, _, place = source.partition(":")
    size = options.pop("size", "96")
    if kind == "drift" and place.isdecimal() and size.isdecimal() and not options:
        count = int(place)
        return drifting(count, int(size), cuts=(count // 3, 2 * count // 3), seed=seed)
    if kind == "frames" and "masks" in options and size.isdecimal() and not options.keys() - {"masks", "void"}:
        return _read(Path(place), Path(options["masks"]), int(size), seed, options.get("void"))
    raise UsageError(f"--data {spec}: expected {FORMS}")


def _read(pictures: Path, masks: Path, height: int, seed: int, void: str | None) -> LabelledVideo:
    for folder in (pictures, masks):
        if not folder.is_dir():
            raise UsageError(f"{folder} does not exist; expected a folder of pictures")
    video = PictureFolder(pictures, height)
    maps = paired(video.files, frames_in(masks), str(masks))
    images = np.stack(list(video.frames()))
    size, coding = (images.shape[2], images.shape[1]), coding_of(maps, void)
    headers = map(read_header, video.files)
    labels = np.stack([class_map(file, header, size, coding) for file, header in zip(maps, headers, strict=True)])
    return LabelledVideo(images, labels, max(2, int(labels.max()) + 1), seed)
