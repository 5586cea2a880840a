"""What a source of networks gets and returns: its specification, the data's side, and the network with its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from mulde.errors import MissingExtra, UsageError
from mulde.vision.models.own_input import Input

OPTIONS = ("mean", "std", "size", "classes", "stages", "pooled")
"""Options of every source, after commas."""


@dataclass(frozen=True)
class Specification:
    """A source as written on a command line: KIND:PLACE,option=value,value,option=value."""

    kind: str
    """The file of the shelf that opens it."""
    place: str
    """A path or a name, as the kind has it."""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by option."""

    def numbers(self, option: str) -> tuple[float, ...] | None:
        """The values of an option as numbers; None where it is not given."""
        if option not in self.options:
            return None
        try:
            return tuple(map(float, self.options[option]))
        except ValueError:
            raise UsageError(
                f"{self.place}: expected numbers for {option}, got {','.join(self.options[option])}"
            ) from None

    @property
    def input(self) -> Input:
        """Normalisation and size as far as they are given."""
        mean, deviation, size = (self.numbers(option) for option in ("mean", "std", "size"))
        if (mean is None) != (deviation is None):
            raise UsageError(f"{self.place}: expected both mean and std, got one of them; give the other, too")
        if size is not None and (len(size) > 2 or any(side < 1 or side != int(side) for side in size)):
            raise UsageError(f"{self.place}: expected size=PIXELS or size=ROWS,COLUMNS, got {self.options['size']}")
        if deviation is not None and min(deviation) <= 0:
            raise UsageError(f"{self.place}: expected positive values for std, got {min(deviation):g}")
        sides = None if size is None else (int(size[0]), int(size[-1]))
        return Input(None, sides, mean, deviation)


def not_installed(spec: Specification, package: str) -> MissingExtra:
    """The error for a source whose package is missing."""
    return MissingExtra(
        f"{spec.kind}:{spec.place} needs {package}, which is not installed; install it with `pip install {package}`"
    )


@dataclass(frozen=True)
class Wanted:
    """The side of the data: what a network is opened for."""

    role: str
    """Name of the role, for messages and seeds."""
    trained: bool
    """Whether the network is read only, as a teacher; a network that learns is made for the classes of the data."""
    classes: tuple[str, ...]
    """Names of the classes of the data."""
    input: Input
    """Images of the data."""
    seed: int = 0
    """Seed of new weights."""


@dataclass(frozen=True)
class Source:
    """A network from a source."""

    network: nn.Module
    """Returns logits or `Features`, or is a detector."""
    input: Input = field(default_factory=Input)
    """Images as the network takes them, as far as known."""
    classes: tuple[str, ...] = ()
    """Names of its classes; empty where they are unknown."""
