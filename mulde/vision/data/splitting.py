"""Stratified splits of an image set, and harder training sets: label noise, imbalance, a missing class.

All results depend on the seed only; two methods with the same seed get the same images.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.images import Images, ImageSet, S, Split

TEST_FRACTION, VALID_FRACTION = 0.25, 0.1
"""Fractions of the whole set, and of the rest, where there is no official split."""


def split(images: S, seed: int, *, train: int | None = None, test: int | None = None, valid: bool = True) -> Split[S]:
    """Stratified training, validation and test parts.

    Official parts are kept where the set has them; a missing validation part is cut from the training part, a
    missing test part from everything.

    Parameters
    ----------
    train, test
        At most so many images in these parts; by default all.
    valid
        Whether to cut a missing validation part; if not, it may be empty.

    Raises
    ------
    UsageError
        Where there are no images, or one class alone, or no training part.
    """
    _check(images)
    generator, strata = torch.Generator().manual_seed(seed), images.strata

    def cut(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        drawn = _drawn(strata[rows], count, generator)
        return rows[~drawn], rows[drawn]

    official = images.parts or ("train",) * len(images)
    rest, held, final = (
        torch.tensor([i for i, part in enumerate(official) if part == name], dtype=torch.int64)
        for name in ("train", "valid", "test")
    )
    if not len(final):
        rest, final = cut(rest, _count(len(rest), test, TEST_FRACTION))
    if valid and not len(held):
        rest, held = cut(rest, round(VALID_FRACTION * len(rest)))
    if test is not None and test < len(final):
        final = cut(final, test)[1]
    if train is not None and train < len(rest):
        rest = cut(rest, train)[1]
    return Split(images[rest], images[held], images[final], seed)


def with_test_part(images: ImageSet, seed: int) -> ImageSet:
    """The images with a test part, and all others for training; an official test part is kept, others are drawn."""
    held = torch.tensor([part == "test" for part in images.parts], dtype=torch.bool)
    if not held.any():
        count = round(TEST_FRACTION * len(images))
        held = _drawn(images.strata, count, torch.Generator().manual_seed(seed))
    return replace(images, parts=tuple("test" if here else "train" for here in held.tolist()))


def _check(images: Images) -> None:
    where = images.name or "the images"
    if not len(images):
        raise UsageError(f"{where}: no images; there is nothing to train on")
    if isinstance(images, ImageSet) and len(images.classes) < 2:
        raise UsageError(
            f"{where}: one class alone, {', '.join(images.classes)}; a classifier needs two or more, each in a folder"
        )
    if images.parts and "train" not in images.parts:
        raise UsageError(f"{where}: has the parts {', '.join(sorted(set(images.parts)))}, but no training part")


def _drawn(strata: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Marks (n,) of `count` images drawn with the class frequencies of the whole set.

    Classes are interleaved in proportion to their size, so that every fraction is exact to one image.
    """
    if not 0 < count < len(strata):
        raise UsageError(f"cannot draw {count} of {len(strata)} images; draw at least 1 and leave at least 1")
    # Image j of a class with n images has position (j + 1/2) / n in a common order.
    place = torch.empty(len(strata), dtype=torch.float64)
    for stratum in strata.unique().tolist():
        rows = (strata == stratum).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator)
        place[rows[order]] = (torch.arange(len(rows), dtype=torch.float64) + 0.5) / len(rows)
    tie = torch.rand(len(strata), generator=generator, dtype=torch.float64)
    queue = torch.argsort(place + 1e-9 * tie)
    drawn = torch.zeros(len(strata), dtype=torch.bool)
    drawn[queue[:count]] = True
    return drawn


def with_label_noise(images: ImageSet, fraction: float, seed: int) -> ImageSet:
    """The images with a fraction of the labels replaced by a random other class (symmetric noise)."""
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.randperm(len(images), generator=generator)[: round(fraction * len(images))]
    step = torch.randint(1, len(images.classes), (len(wrong),), generator=generator)
    labels = images.labels.clone()
    labels[wrong] = (labels[wrong] + step) % len(images.classes)
    return replace(images, labels=labels)


def long_tailed(images: ImageSet, factor: float, seed: int) -> ImageSet:
    """The images with class sizes that fall exponentially to 1/factor of the largest; the seed orders the classes."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images.classes), generator=generator)
    largest = int(images.counts().min())
    chosen: list[Tensor] = []
    for position, label in enumerate(order.tolist()):
        size = largest * factor ** (-position / max(1, len(order) - 1))
        rows = (images.labels == label).nonzero().flatten()
        chosen.append(rows[torch.randperm(len(rows), generator=generator)[: max(1, round(size))]])
    return images[torch.cat(chosen).sort().values]


def without_class(images: ImageSet, label: int) -> ImageSet:
    """All images but those of one class; the list of classes is unchanged.

    Raises
    ------
    UsageError
        Where there is no such class, or only two.
    """
    count = len(images.classes)
    if label >= count or count < 3:
        raise UsageError(
            f"{images.name or 'the images'}: class {label} cannot be left out of {count} classes, counted from 0; "
            "three or more are needed"
        )
    return images[images.labels != label]


def few_labelled(images: ImageSet, shots: int | None) -> Tensor:
    """Rows of the first `shots` images of each class, or of all; images without a label are left out."""
    rows = torch.arange(len(images))
    known = images.labels[images.labels >= 0].unique()
    return torch.cat([rows[images.labels == label][:shots] for label in known])


def _count(total: int, count: int | None, fraction: float) -> int:
    return min(count, total - 1) if count is not None else round(fraction * total)
