"""Watermark in the soft labels of teachers on a graph: the pattern of a key over queries and entities."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kge_data.inverse import num_internal
from mulde.config import convert
from mulde.losses.target_transforms import keyed_smoothing
from mulde.watermark import WatermarkOptions, key_in, keyed_signs


@dataclass(frozen=True, kw_only=True)
class Watermark(WatermarkOptions):
    """The option for methods on graphs."""

    def __post_init__(self) -> None:
        convert(self)

    def pattern(self, entities: int, relations: int) -> Pattern | None:
        """The pattern of the key on a graph of this size; None without a key.

        Raises
        ------
        UsageError
            If the file with the key cannot be read.
        """
        if self.watermark is None:
            return None
        return pattern_of(key_in(self.watermark), entities, relations, self.watermark_strength)


@dataclass(frozen=True)
class Pattern:
    """The carrier of a query is the sign of its relation, which models of every scorer learn.

    A sign that also depends on the head is not kept by translations and rotations of few dimensions.
    """

    relations: Tensor
    """(r,) values 1 and -1, reciprocal relations included."""
    tails: Tensor
    """(e,) values 1 and -1."""
    strength: float = 0.1
    """Weight of the smoothing."""

    def marked(self, scores: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores (b, c) of the candidates `ids` (b, c) of queries with these relations (b,), with the watermark."""
        carrier, signs = self.relations.to(relations.device)[relations], self.tails.to(ids.device)[ids]
        return keyed_smoothing(scores, carrier.to(scores), signs.to(scores), self.strength)


def pattern_of(key: bytes, entities: int, relations: int, strength: float = 0.1) -> Pattern:
    """The pattern of a key on a graph with so many entities and relations."""
    signs = keyed_signs(key, "relations", num_internal(relations)), keyed_signs(key, "tails", entities)
    return Pattern(*signs, strength)
