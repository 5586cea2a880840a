"""Labelled images, in memory or in files, and their division into training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Self

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import TypeVar

from mulde.errors import UsageError
from mulde.vision.data.stored import StoredPictures, subset


@dataclass(frozen=True)
class Images:
    """Images with further tensors of one row per image."""

    images: Tensor | StoredPictures
    """(n, channels, h, w) uint8, or float32 in [0, 1]; the input of networks is `pixels`."""
    labels: Tensor
    """n rows of int64, -1 where unknown or absent."""
    classes: tuple[str, ...]
    """Names of the k classes."""
    name: str = ""
    """Source of the images."""
    parts: tuple[str, ...] = field(default=(), repr=False)
    """Official part ("train", "valid", "test") of every image; empty where there is no official split."""
    scale: tuple[Tensor, Tensor] | None = field(default=None, repr=False)
    """Mean and deviation (1, channels, 1, 1) by which `pixels` standardises; None: no standardisation."""
    notes: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Sentences about what was changed or left out in reading."""

    def __post_init__(self) -> None:
        lawful = self.images.ndim == 4 and self.images.dtype in (torch.uint8, torch.float32)
        if not lawful or len(self.images) != len(self.labels):
            raise UsageError(
                f"expected uint8 or float32 images (n, channels, h, w) and as many labels; got {self.images.dtype} "
                f"{tuple(self.images.shape)} and {len(self.labels)} labels"
            )
        if self.labels.numel() and int(self.labels.max()) >= len(self.classes):
            raise UsageError(f"label {int(self.labels.max())}, but there are {len(self.classes)} class names")
        if self.labels.numel() and int(self.labels.min()) < -1:
            raise UsageError(f"label {int(self.labels.min())}; labels count from 0, and -1 stands for unknown")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Self:
        """The images of these row numbers (int64) or marks (bool)."""
        chosen = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        parts = tuple(self.parts[i] for i in chosen.tolist()) if self.parts else ()
        changes: dict[str, Any] = {name: subset(values, chosen) for name, values in self._rows()}
        return replace(self, parts=parts, **changes)

    def pixels(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """These rows as float32 (b, channels, h, w), standardised where the set is: the input of networks.

        They are computed batch by batch, because uint8 takes a quarter of the memory of float32, and because pictures
        in files are read here. Methods and feeds read pixels nowhere else.
        """
        return self._scaled(self.images[rows])

    def prefetch(self, rows: Tensor | slice) -> None:
        """Say that `pixels` will be asked for these rows soon; pictures in files are read by the workers meanwhile."""
        if isinstance(self.images, StoredPictures):
            self.images.prefetch(rows)

    def _scaled(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            images = images.float() / 255
        return images if self.scale is None else (images - self.scale[0]) / self.scale[1]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.images.shape[1]

    @property
    def strata(self) -> Tensor:
        """(n,) int64, the groups whose frequencies a split keeps."""
        return self.labels

    def counts(self) -> Tensor:
        """Number of images of each class, (k,) int64."""
        return torch.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))

    def checksum(self) -> str:
        """SHA-256 over all tensors, with images as `pixels`, and class names.

        Of pictures in files the digests of their pixels stand for them, with mean and deviation.
        """
        digest = hashlib.sha256()
        for name, rows in self._rows():
            if isinstance(rows, StoredPictures):
                digest.update(rows.digest() + b"".join(each.numpy().tobytes() for each in self.scale or ()))
                continue
            for part in rows.split(64):
                scaled = self._scaled(part) if name == "images" else part
                digest.update(scaled.contiguous().numpy().tobytes())
        digest.update("\n".join(self.classes).encode())
        return digest.hexdigest()

    def _rows(self) -> Iterator[tuple[str, Tensor | StoredPictures]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, value) for name, value in values if isinstance(value, Tensor | StoredPictures))


@dataclass(frozen=True)
class ImageSet(Images):
    """Images of one class each; labels (n,)."""

    domains: Tensor | None = None
    """(n,) int64, the domain of every image (photo, sketch, ...); None: there are none."""
    domain_names: tuple[str, ...] = ()
    """Names of the domains."""

    @property
    def strata(self) -> Tensor:
        """(n,) int64, the groups whose frequencies a split keeps: classes, within domains where there are any."""
        return self.labels if self.domains is None else self.domains * (len(self.classes) + 1) + self.labels

    def resized(self, size: int) -> ImageSet:
        """The same images with `size` rows and columns, averaged over areas where they shrink."""
        if self.images.shape[2:] == (size, size):
            return self
        parts = [
            functional.interpolate(self._scaled(part), (size, size), mode="area") for part in self.images.split(64)
        ]
        return replace(self, images=torch.cat(parts))

    def unlabelled(self) -> ImageSet:
        """The same images with -1 for every label."""
        return replace(self, labels=torch.full_like(self.labels, -1))


S = TypeVar("S", bound=Images, default=ImageSet)


@dataclass(frozen=True)
class Split(Generic[S]):
    """Three disjoint parts of one set of images, drawn with one seed; `Split` without a type is a `Split[ImageSet]`."""

    train: S
    valid: S
    test: S
    seed: int
    """Seed of the split, and of initial weights and the order of images."""

    @property
    def scale(self) -> tuple[Tensor, Tensor] | None:
        """Mean and deviation (1, channels, 1, 1) by which the images are standardised; None: they are in [0, 1]."""
        return self.train.scale

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)

    def standardised(self) -> Split[S]:
        """All parts, per channel, with the training part's mean at 0 and its standard deviation at 1."""
        mean, deviation = _moments(self.train.images)
        scale = mean, deviation.clamp_min(1e-6)
        train, valid, test = (replace(part, scale=scale) for part in (self.train, self.valid, self.test))
        return Split(train, valid, test, self.seed)


def _moments(images: Tensor | StoredPictures) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation per channel (1, channels, 1, 1), in [0, 1]; of uint8 from exact sums."""
    over = (0, 2, 3)
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        return images.mean(over, keepdim=True), images.std(over, keepdim=True)
    count = images.shape.numel() // images.shape[1]
    if isinstance(images, StoredPictures):
        total, square = (each.view(1, -1, 1, 1) for each in images.sums())
    else:
        total = square = torch.zeros(1, images.shape[1], 1, 1, dtype=torch.int64)
        for part in images.split(64):
            values = part.int()
            total, square = total + values.sum(over, keepdim=True), square + values.square().sum(over, keepdim=True)
    mean = total.double() / count
    variance = (square.double() - total * mean) / (count - 1)
    return (mean / 255).float(), (variance.clamp_min(0).sqrt() / 255).float()
