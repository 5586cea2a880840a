"""Small image sets, with labels and with boxes, and splits that every test of the vision side can afford."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from mulde.engine import Clock
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.generated import shapes
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.data.scenes import scenes
from mulde.vision.data.splitting import split
from mulde.vision.feeds import BoxBatch, BoxFeed, ImageBatch, ImageFeed

BEGINNING = Clock(step=0, epoch=0, epochs=10, progress=0.0)


@cache
def images() -> ImageSet:
    return shapes(96, size=8, seed=1)


@cache
def toy_split(seed: int = 0) -> Split:
    return split(images(), seed).standardised()


def batch() -> ImageBatch:
    return next(iter(ImageFeed(toy_split().train, 12)))


@cache
def boxed_split(seed: int = 0) -> Split[DetectionSet]:
    return split(scenes(90, size=24, seed=1), seed).standardised()


def boxed_batch() -> BoxBatch:
    return next(iter(BoxFeed(boxed_split().train, 12)))


def split_for(method: ModuleType) -> Split[Any]:
    """Images of the kind that a method's case reads."""
    case = getattr(method, "VERIFICATION", None)
    return boxed_split() if case is not None and case.read is load_boxed else toy_split()
