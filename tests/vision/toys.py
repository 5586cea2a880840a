"""A small image set and split that every test of the vision side can afford."""

from __future__ import annotations

from functools import cache

from mulde.engine import Clock
from mulde.vision.data.generated import shapes
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.splitting import split
from mulde.vision.feeds import ImageBatch, ImageFeed

BEGINNING = Clock(step=0, epoch=0, epochs=10, progress=0.0)


@cache
def images() -> ImageSet:
    return shapes(96, size=8, seed=1)


@cache
def toy_split(seed: int = 0) -> Split:
    return split(images(), seed).standardised()


def batch() -> ImageBatch:
    return next(iter(ImageFeed(toy_split().train, 12)))
