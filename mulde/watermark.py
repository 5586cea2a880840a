"""Watermark: the option of methods that distil a teacher's probabilities, and the numbers that follow from a key.

The teacher's probabilities are smoothed by a distribution that follows from a secret key
(`mulde.losses.target_transforms`). Students that are distilled from them keep the pattern, and the key finds it
(`mulde.metrics.watermark`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mulde.config import Range
from mulde.errors import UsageError

if TYPE_CHECKING:
    import torch

COMPARED = 999
"""Other keys with which a key is compared: the smallest probability is 0.001."""
Strength = Annotated[float, Range(0.001, 0.5)]
"""Type of the weight of a keyed distribution."""


@dataclass(frozen=True, kw_only=True)
class WatermarkOptions:
    """A keyed pattern in the teacher's probabilities, which proves later that a model was distilled from them."""

    watermark: Path | None = None
    """File with a secret key, any text: the teacher's probabilities get a watermark that `mulde evaluate --watermark`
    finds in students. Default: none."""
    watermark_strength: Strength = 0.1
    """Weight of the watermark in the probabilities; the most probable class stays the same."""


def key_in(path: Path) -> bytes:
    """The key in a file.

    Raises
    ------
    UsageError
        If the file cannot be read or is empty.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"--watermark {path}: the file with the key cannot be read: {error.strerror}") from error
    if not key:
        raise UsageError(f"--watermark {path}: expected a file with a secret text, found an empty one")
    return key


def generator(key: bytes, purpose: str) -> torch.Generator:
    """A random generator that is the same for equal keys and purposes."""
    import torch

    digest = hashlib.sha256(purpose.encode() + b"\0" + key).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def keyed_signs(key: bytes, purpose: str, count: int) -> torch.Tensor:
    """(count,) values 1 and -1 in an order of the key, as many of each; a 0 where the count is odd."""
    import torch

    half = torch.ones(count // 2)
    values = torch.cat([half, -half, torch.zeros(count % 2)])
    return values[torch.randperm(count, generator=generator(key, purpose))]


def other_keys(count: int) -> list[bytes]:
    """Fixed keys for comparison."""
    return [f"comparison {number}".encode() for number in range(count)]
