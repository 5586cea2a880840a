"""Batches of a loader of the user's in place of those of a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.training.feeds import ImageBatch


class LoaderBatches:
    """The batches of a loader, checked.

    A training that is continued within an epoch repeats the pass with the same random numbers, or calls the loader's
    ``load_state_dict``, if it has one. The workers of a loader with ``persistent_workers`` have random numbers of their
    own; then checkpoints fall on ends of epochs.

    Parameters
    ----------
    loader
        A DataLoader, or anything that can be iterated once per epoch: batches of pictures (b, channels, h, w) and
        labels (b,).
    classes
        Number of classes.
    """

    def __new__(cls, loader: Any, classes: int) -> LoaderBatches:
        """With the methods of a loader that keeps its state, where it does."""
        keeps = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        return super().__new__(_StatefulBatches if keeps else cls)

    def __init__(self, loader: Any, classes: int) -> None:
        self.loader, self.classes = loader, classes
        self.whole_passes = bool(getattr(loader, "persistent_workers", False)) and not hasattr(loader, "state_dict")
        self.images = _Described(loader)

    @property
    def generator(self) -> torch.Generator | None:
        """The loader's own random generator, if it has one."""
        found = getattr(self.loader, "generator", None)
        return found if isinstance(found, torch.Generator) else None

    def set_epoch(self, epoch: int) -> None:
        """Tell the loader's sampler, if it wants to know."""
        sampler: Any = getattr(self.loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[ImageBatch]:
        count = 0
        for item in self.loader:
            count += 1
            images, labels = checked_batch(item, self.classes)
            yield ImageBatch(images, labels, torch.full_like(labels, -1))
        if hasattr(self.loader, "__len__") and count < len(self.loader) and type(self) is LoaderBatches:
            raise UsageError(
                f"the loader has a length of {len(self.loader)} batches, but ended after {count}; every pass needs all"
            )


class _StatefulBatches(LoaderBatches):
    """Batches of a loader that keeps its state."""

    def state_dict(self) -> dict[str, Any]:
        """The loader's."""
        found: dict[str, Any] = self.loader.state_dict()
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the loader."""
        self.loader.load_state_dict(state)


class _Described:
    """Stands for the set of a loader's pictures, which is not read as a whole."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def checksum(self) -> str:
        """Its kind and length."""
        length = len(self.loader) if hasattr(self.loader, "__len__") else "unknown"
        return f"{type(self.loader).__name__} of {length} batches"


def checked_batch(item: Any, classes: int | None) -> tuple[Tensor, Tensor]:
    """Pictures and labels of a batch.

    Raises
    ------
    UsageError
        For anything but pictures (b, channels, h, w) and labels (b,), or a label outside of the classes.
    """
    if not isinstance(item, tuple | list) or len(item) < 2 or not all(isinstance(part, Tensor) for part in item[:2]):
        raise UsageError(
            f"expected batches of pictures and labels, two tensors, from the loader, got {_shown(item)}; adapt its "
            "collate_fn"
        )
    images, labels = item[:2]
    if images.ndim != 4 or labels.shape != images.shape[:1] or labels.is_floating_point():
        raise UsageError(
            "expected pictures (b, channels, rows, columns) and whole numbers (b,) as labels from the loader, got "
            f"{tuple(images.shape)} and {tuple(labels.shape)} of {labels.dtype}"
        )
    if classes is not None and len(labels) and not -1 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UsageError(
            f"labels count from 0 to {classes - 1}, -1 where unknown; the loader delivered {int(labels.min())} to "
            f"{int(labels.max())}"
        )
    return images.float() / 255 if images.dtype == torch.uint8 else images, labels.long()


def _shown(item: Any) -> str:
    parts = item if isinstance(item, tuple | list) else [item]
    return ", ".join(type(part).__name__ for part in parts[:3])
