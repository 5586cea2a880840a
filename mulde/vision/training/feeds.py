"""From image sets to batches: shuffled or class-balanced, plain or in several views.

Order and augmentation are functions of (seed, epoch, position). A training that was interrupted in an epoch therefore
continues exactly, and two methods with the same seed get the same batches. Several processes each take a part of every
batch (`divide`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol

import torch
from torch import Tensor

from mulde.engine.distributed import Part, mapped
from mulde.errors import UsageError
from mulde.vision.data.augmentation import Augmentation, of_share
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet, S


class Batches(Protocol):
    """Batches of a session."""

    images: Any
    """The set of the batches; its `checksum()` is written to the folder of the fit."""

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch."""

    def divide(self, rank: int, processes: int) -> None:
        """From now on deliver the part of this process of every batch."""


Order = Callable[[Tensor, torch.Generator], Tensor]
"""Labels (n,) and a generator -> the rows of one epoch, (n,) or fewer."""


@dataclass(frozen=True)
class ImageBatch:
    """b images."""

    images: Tensor
    """(b, channels, h, w), augmented if the feed has an augmentation and no views."""
    labels: Tensor
    """(b,) int64, -1 where unknown."""
    index: Tensor
    """(b,) rows of the image set, for methods with state per image; -1 for images of a loader, which are in none."""
    domains: Tensor | None = field(default=None, kw_only=True)
    """(b,) int64, domains of the images, where the set has any."""
    views: Tensor | None = None
    """(v, b, channels, h, w) independently augmented versions, row i of each the same image."""
    others: Tensor | None = None
    """(o, channels, h, w) images of a second, independent batch, see `Beside`."""
    weight: float = 1.0
    """Weight of this part in the mean over the processes that divide the batch."""

    def __len__(self) -> int:
        return len(self.labels)


def shuffled(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Every image once (instance sampling)."""
    return torch.randperm(len(labels), generator=generator)


def class_balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    """As many draws as images, with replacement, with equal probability of every class (CBD's second stage)."""
    counts = torch.bincount(labels)
    return torch.multinomial(1 / counts[labels].double(), len(labels), replacement=True, generator=generator)


class Feed(ABC, Generic[S]):
    """Batches of one set, one epoch at a time; subclasses make the batches."""

    joins_last = False
    """Whether a single image that is left over at the end of an epoch joins the batch before it."""

    def __init__(
        self,
        images: S,
        batch_size: int,
        *,
        seed: int = 0,
        order: Order = shuffled,
        drop_last: bool = False,
        whole: bool = False,
    ) -> None:
        """
        Parameters
        ----------
        drop_last
            Whether to leave out a last, smaller batch, for losses that depend on the batch size.
        whole
            Whether every process computes whole batches; for losses that compare images or divide by counts.

        Raises
        ------
        UsageError
            If an epoch has no batch.
        """
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self._draw, self.drop_last, self.whole = order, drop_last, whole
        self.rank, self.processes = 0, 1
        self.set_epoch(0)
        if not len(self):
            raise UsageError(f"{len(images)} images make no batch of {batch_size}; take a smaller batch or more images")

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch and draw its order."""
        self.epoch, self.position = epoch, 0
        self.rows = self._draw(self.images.labels, self._generator(0))

    def __len__(self) -> int:
        whole, rest = divmod(len(self.rows), self.batch_size)
        return whole + (rest > 0 and not self._last_joins and not self.drop_last)

    @property
    def _last_joins(self) -> bool:
        """Whether the last image alone is left over, and joins the batch before it."""
        whole, rest = divmod(len(self.rows), self.batch_size)
        return self.joins_last and whole > 0 and rest == 1 and not self.drop_last

    def state_dict(self) -> dict[str, Any]:
        """Batches already delivered in this epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of `state`."""
        self.position = state["position"]

    def divide(self, rank: int, processes: int) -> None:
        """From now on deliver this process's part of every batch, or the whole batch where it is not divided."""
        self.rank, self.processes = (0, 1) if self.whole else (rank, processes)

    def __iter__(self) -> Iterator[Any]:
        while self.position < len(self):
            start = self.position * self.batch_size
            self.position += 1
            end = start + self.batch_size
            if self._last_joins and self.position == len(self):
                end += 1
            self.images.prefetch(self.rows[start : start + 3 * self.batch_size])
            batch = self._batch(self.rows[start:end])
            if self.processes > 1:
                part = Part(self.rank, self.processes, len(batch))
                batch = replace(mapped(batch, part.of), weight=part.weight)
            yield batch

    @abstractmethod
    def _batch(self, rows: Tensor) -> Any:
        """The batch of these rows of the set, with random numbers of `_generator(self.position)`."""

    def _generator(self, moment: int) -> torch.Generator:
        """The generator of this seed and epoch: moment 0 for the order, moment i for the augmentation of batch i."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) * 1_000_003 + moment)


class ImageFeed(Feed[ImageSet]):
    """Batches of labelled images.

    A single image that is left over at the end of an epoch joins the batch before it, because batch normalisation of
    pooled features has no statistics of one value.
    """

    joins_last = True

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        *,
        seed: int = 0,
        order: Order = shuffled,
        augment: Augmentation | None = None,
        augment_share: float = 1.0,
        views: int = 0,
        drop_last: bool = False,
        whole: bool = False,
    ) -> None:
        """
        Parameters
        ----------
        augment
            Changes the images of every batch; with views > 0 it makes that many views instead, and batches are not
            divided.
        augment_share
            Probability that an image is changed, see `of_share`; a schedule may set the attribute.

        Raises
        ------
        UsageError
            For views without an augmentation.
        """
        if views and augment is None:
            raise UsageError(f"{views} views need an augmentation that makes them differ; pass augment")
        self.augment, self.augment_share, self.views = augment, augment_share, views
        super().__init__(images, batch_size, seed=seed, order=order, drop_last=drop_last, whole=whole or views > 0)

    def __iter__(self) -> Iterator[ImageBatch]:
        return super().__iter__()

    def _batch(self, rows: Tensor) -> ImageBatch:
        images, domains = self.images.pixels(rows), self.images.domains
        batch = ImageBatch(images, self.images.labels[rows], rows, domains=None if domains is None else domains[rows])
        if self.augment is None:
            return batch
        augment = self.augment if self.augment_share == 1 else of_share(self.augment, self.augment_share)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._generator(self.position).initial_seed())
            if not self.views:
                return replace(batch, images=augment(images))
            return replace(batch, views=torch.stack([augment(images) for _ in range(self.views)]))


@dataclass(frozen=True)
class BoxBatch:
    """b images with boxes around objects."""

    images: Tensor
    """(b, channels, h, w)"""
    boxes: Tensor
    """(b, o, 4) left, top, right, bottom in pixels."""
    labels: Tensor
    """(b, o) int64, -1 in empty places."""
    index: Tensor
    """(b,) rows of the set."""
    weight: float = 1.0
    """Weight of this part of a batch; 1, as these batches are not divided."""

    def __len__(self) -> int:
        return len(self.labels)


class BoxFeed(Feed[DetectionSet]):
    """Batches of images with boxes; not divided, because losses are divided by counts over the whole batch."""

    def __init__(self, images: DetectionSet, batch_size: int, *, seed: int = 0, mirror: bool = False) -> None:
        """mirror: mirror each image and its boxes left to right with probability 1/2."""
        self.mirror = mirror
        super().__init__(images, batch_size, seed=seed, whole=True)

    def __iter__(self) -> Iterator[BoxBatch]:
        return super().__iter__()

    def _batch(self, rows: Tensor) -> BoxBatch:
        images, boxes, labels = self.images.pixels(rows), self.images.boxes[rows], self.images.labels[rows]
        if self.mirror:
            turned = torch.rand(len(rows), 1, 1, generator=self._generator(self.position)) < 0.5
            images = torch.where(turned[..., None], images.flip(3), images)
            width = images.shape[3]
            flipped = torch.stack([width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], -1)
            boxes = torch.where(turned & (labels >= 0)[..., None], flipped, boxes)
        return BoxBatch(images, boxes, labels, rows)


class Beside:
    """Batches of one feed, each with the images of a batch of a second feed.

    The second feed is repeated where it ends before the first.
    """

    def __init__(self, feed: ImageFeed, second: ImageFeed) -> None:
        self.feed, self.second, self.images = feed, second, feed.images

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch in both."""
        self.feed.set_epoch(epoch)
        self.second.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.feed)

    def divide(self, rank: int, processes: int) -> None:
        """Views are not divided; every process computes whole batches."""

    def state_dict(self) -> dict[str, Any]:
        """Position of the first feed, which determines that of the second."""
        return self.feed.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of `state`."""
        self.feed.load_state_dict(state)

    def __iter__(self) -> Iterator[ImageBatch]:
        for batch in self.feed:
            self.second.position = (self.feed.position - 1) % len(self.second)
            yield replace(batch, others=next(iter(self.second)).images)


class NoiseFeed:
    """Batches of Gaussian noise in the shape of pictures, for methods that read no training picture.

    Parameters
    ----------
    channels, size
        Shape of a picture, (channels, size, size).
    batch_size
        Noise pictures per batch.
    batches
        Batches per epoch.
    seed
        With the epoch and the number of the batch it determines the noise.
    """

    def __init__(self, channels: int, size: int, batch_size: int, batches: int, seed: int) -> None:
        self.shape, self.batches, self.seed = (batch_size, channels, size, size), batches, seed
        self.images = self  # has the checksum of the batches
        self.set_epoch(0)

    def checksum(self) -> str:
        """Shape and seed, which determine the noise."""
        return f"noise {self.shape} {self.batches} {self.seed}"

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch, self.position = epoch, 0

    def __len__(self) -> int:
        return self.batches

    def divide(self, rank: int, processes: int) -> None:
        """Every process computes whole batches."""

    def state_dict(self) -> dict[str, Any]:
        """Batches already delivered in this epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of `state`."""
        self.position = state["position"]

    def __iter__(self) -> Iterator[ImageBatch]:
        unknown = torch.full((self.shape[0],), -1)
        while self.position < self.batches:
            self.position += 1
            moment = (self.seed * 1_000_003 + self.epoch) * 1_000_003 + self.position
            noise = torch.randn(self.shape, generator=torch.Generator().manual_seed(moment))
            yield ImageBatch(noise, unknown, unknown)


def pass_over(images: ImageSet, batch_size: int = 512) -> Iterator[ImageBatch]:
    """All images once, in order and without augmentation, for evaluation."""
    for rows in torch.arange(len(images)).split(batch_size):
        images.prefetch(slice(int(rows[0]), int(rows[0]) + 2 * batch_size))
        yield ImageBatch(images.pixels(rows), images.labels[rows], rows)
