"""Labelled images in memory, and their division into training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Self

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import TypeVar


@dataclass(frozen=True)
class Images:
    """Images, and tensors that say something about each of them in as many rows."""

    images: Tensor
    """(n, channels, h, w) float32 in [0, 1]."""
    labels: Tensor
    """n rows of int64, -1 where unknown or absent."""
    classes: tuple[str, ...]
    """Names of the k classes."""
    name: str = ""
    """Where the images come from."""
    parts: tuple[str, ...] = field(default=(), repr=False)
    """Official part ("train", "valid", "test") of every image; empty where there is no official split."""

    def __post_init__(self) -> None:
        lawful = self.images.ndim == 4 and self.images.dtype == torch.float32
        if not lawful or len(self.images) != len(self.labels):
            raise ValueError(
                f"expected float32 images (n, channels, h, w) and as many labels; got {self.images.dtype} "
                f"{tuple(self.images.shape)} and {len(self.labels)} labels"
            )
        if len(self.labels) and int(self.labels.max()) >= len(self.classes):
            raise ValueError(f"label {int(self.labels.max())}, but there are {len(self.classes)} class names")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Self:
        """The images of these row numbers (int64) or marks (bool)."""
        chosen = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        parts = tuple(self.parts[i] for i in chosen.tolist()) if self.parts else ()
        changes: dict[str, Any] = {name: values[chosen] for name, values in self._tensors()}
        return replace(self, parts=parts, **changes)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.images.shape[1]

    @property
    def strata(self) -> Tensor:
        """(n,) int64: what divisions keep the shares of."""
        return self.labels

    def counts(self) -> Tensor:
        """How often each class occurs, (k,) int64."""
        return torch.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))

    def checksum(self) -> str:
        """SHA-256 over all tensors and class names."""
        digest = hashlib.sha256()
        for _, rows in self._tensors():
            digest.update(rows.contiguous().numpy().tobytes())
        digest.update("\n".join(self.classes).encode())
        return digest.hexdigest()

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, value) for name, value in values if isinstance(value, Tensor))


@dataclass(frozen=True)
class ImageSet(Images):
    """Images of one class each; labels (n,)."""

    def resized(self, size: int) -> ImageSet:
        """The same images with `size` rows and columns, averaged over areas where they shrink."""
        if self.images.shape[2:] == (size, size):
            return self
        images = functional.interpolate(self.images, (size, size), mode="area")
        return replace(self, images=images)

    def unlabelled(self) -> ImageSet:
        """The same images with -1 for every label."""
        return replace(self, labels=torch.full_like(self.labels, -1))


S = TypeVar("S", bound=Images, default=ImageSet)


@dataclass(frozen=True)
class Split(Generic[S]):
    """Three disjoint parts of one set of images, drawn with one seed; `Split` alone means a `Split[ImageSet]`."""

    train: S
    valid: S
    test: S
    seed: int
    """Of this division; methods draw their initial weights and their order from it too."""
    scale: tuple[Tensor, Tensor] | None = None
    """Mean and deviation (1, channels, 1, 1) by which the images were standardised; None: they are in [0, 1]."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)

    def standardised(self) -> Split[S]:
        """All parts, per channel, with the training part's mean at 0 and its standard deviation at 1."""
        mean = self.train.images.mean((0, 2, 3), keepdim=True)
        deviation = self.train.images.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
        train, valid, test = (
            replace(part, images=(part.images - mean) / deviation) for part in (self.train, self.valid, self.test)
        )
        return Split(train, valid, test, self.seed, (mean, deviation))


def concatenate(sets: Sequence[ImageSet]) -> ImageSet:
    """All images of sets with the same classes."""
    parts = sum((part.parts for part in sets), ())
    return replace(
        sets[0],
        images=torch.cat([part.images for part in sets]),
        labels=torch.cat([part.labels for part in sets]),
        parts=parts,
    )
