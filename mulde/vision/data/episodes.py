"""Episodes: small classification tasks of few classes and few labelled images each, drawn from an image set."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet

WRITTEN = re.compile(r"(\d{1,4})way(\d{1,4})shot")


@dataclass(frozen=True)
class EpisodeShape:
    """Sizes of an episode."""

    ways: int
    """Classes."""
    shots: int
    """Labelled images of each class, the support."""
    queries: int = 15
    """Images of each class that are classified."""

    @classmethod
    def parse(cls, text: str) -> EpisodeShape:
        """Read a shape such as 5way5shot.

        Raises
        ------
        UsageError
            If it is written in another way, or has fewer than two classes or no labelled image.
        """
        found = WRITTEN.fullmatch(text)
        if found is None or int(found[1]) < 2 or int(found[2]) < 1:
            raise UsageError(f"episodes are written as 5way5shot: two classes or more, one image or more; got {text}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.ways}way{self.shots}shot"


@dataclass(frozen=True)
class Episode:
    """Rows of an image set; the classes of an episode are numbered from 0."""

    support: Tensor
    """(ways · shots,) rows of the labelled images, class by class."""
    query: Tensor
    """(ways · queries,) rows of the images that are classified, class by class."""
    shape: EpisodeShape

    @property
    def support_labels(self) -> Tensor:
        """(ways · shots,) int64."""
        return torch.arange(self.shape.ways).repeat_interleave(self.shape.shots)

    @property
    def query_labels(self) -> Tensor:
        """(ways · queries,) int64."""
        return torch.arange(self.shape.ways).repeat_interleave(self.shape.queries)


def episodes(labels: Tensor, shape: EpisodeShape, count: int, seed: int = 0) -> list[Episode]:
    """Draw episodes; the same for equal labels, shape and seed, so that networks are compared on equal tasks.

    Parameters
    ----------
    labels
        (n,) classes; images with -1 are not drawn.
    count
        Number of episodes.

    Raises
    ------
    UsageError
        If fewer classes than an episode needs have enough images. Smaller classes are not drawn.
    """
    need = shape.shots + shape.queries
    each = [(labels == label).nonzero().flatten() for label in labels[labels >= 0].unique().tolist()]
    large = [rows for rows in each if len(rows) >= need]
    if len(large) < shape.ways:
        raise UsageError(
            f"{shape}: an episode needs {shape.ways} classes with {need} images each, {shape.shots} labelled and "
            f"{shape.queries} to classify; {len(large)} of {len(each)} classes have as many; take fewer classes, shots "
            "or queries"
        )
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        chosen = torch.randperm(len(large), generator=generator)[: shape.ways].tolist()
        drawn = torch.stack([large[i][torch.randperm(len(large[i]), generator=generator)[:need]] for i in chosen])
        support, query = drawn[:, : shape.shots].flatten(), drawn[:, shape.shots :].flatten()
        found.append(Episode(support, query, shape))
    return found


def with_new_classes(images: ImageSet, count: int) -> ImageSet:
    """The images with the last `count` classes as the test part and the others as the training part.

    Raises
    ------
    UsageError
        If fewer than two classes are left to train on.
    """
    base = len(images.classes) - count
    if base < 2:
        raise UsageError(
            f"{images.name or 'the images'}: {count} classes are kept for the test, and two more or more are needed to "
            f"train on; there are {len(images.classes)}"
        )
    return replace(images, parts=tuple("train" if label < base else "test" for label in images.labels.tolist()))
