"""Data of a run by the text after --data: read, divided and standardised."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from mulde.engine.protocol import Needs
from mulde.errors import UsageError
from mulde.vision.data.found import described
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load, load_boxed
from mulde.vision.data.splitting import split

PARTS_SEED = 0
"""Seed of the division, whatever the seed of the training: no seed is trained on the test pictures of another."""


def read_split(
    needs: Needs,
    spec: str,
    seed: int,
    *,
    skip_broken: bool = False,
    report: Callable[[str], object] = lambda text: None,
) -> Split[Any]:
    """The parts of the images that a specification names, standardised by the training part.

    Parameters
    ----------
    needs
        Needs of the method.
    spec
        As for `mulde.vision.data.loading.load`, or `load_boxed` for detectors.
    seed
        Seed of initial weights and of the order of images.
    skip_broken
        Whether to leave out pictures that cannot be read.
    report
        Receives what was found: classes, parts, sizes.

    Raises
    ------
    UsageError
        For a specification that cannot be read, or data that are too few to divide.
    """
    read = load_boxed if needs.data == "boxes" else load
    images: Any = read(spec, skip_broken=skip_broken)
    if not len(images):
        raise UsageError(f"--data {spec}: expected pictures, found none")
    report(described(images))
    parts: Split[Any] = split(images, PARTS_SEED)
    report("divided into " + ", ".join(f"{len(getattr(parts, part)):,} {part}" for part in ("train", "valid", "test")))
    return dataclasses.replace(parts.standardised(), seed=seed)
