"""The search space: which options are searched, and between which values. Imports neither torch nor Optuna.

An option with an entry in `SEARCHED` is searched unless it is given. `--search NAME=LOW:HIGH[:log]` and
`--search NAME=A,B,C` add an option or replace its entry.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mulde.config.values import alternatives, typed
from mulde.errors import UsageError, unknown
from mulde.kge.options import FREE


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False
    """Uniform in the logarithm."""
    whole: bool = False
    """Whole numbers only."""

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}{':log' if self.log else ''}"

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values at which a combination of options is checked."""
        return self.low, self.high

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that the sampler of an Optuna trial chooses."""
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        return suggest(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choices:
    """Single values, without an order."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ",".join(map(str, self.values))

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values at which a combination of options is checked."""
        return self.values

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that the sampler of an Optuna trial chooses."""
        return trial.suggest_categorical(name, self.values)


Dimension = Range | Choices
Space = dict[str, Dimension]


@dataclass(frozen=True)
class Entry:
    """A searched option."""

    dimension: Callable[[Any], Dimension | None]
    """The value of the first trial -> the values that are searched; None where it is not searched."""
    losses: tuple[str | None, ...] | None = None
    """Hard losses with which the option has an effect; None stands for a method without an option ``loss``."""


def around(factor: float) -> Callable[[float], Range | None]:
    """From a positive value divided by a factor to the value times the factor, uniform in the logarithm."""
    return lambda value: Range(value / factor, value * factor, log=True) if value else None


def doubled(times: int) -> Callable[[int], Choices]:
    """A whole number, and those that halving and doubling it so many times gives."""
    return lambda value: Choices(tuple(sorted({max(1, round(value * 2.0**i)) for i in range(-times, times + 1)})))


SEARCHED = {
    "lr": Entry(around(10)),
    "batch_size": Entry(doubled(2)),
    "negatives": Entry(doubled(2), ("binary", "cross-entropy")),
    "n3": Entry(lambda value: Range(1e-6, 1e-1, log=True), ("1vsall", None)),
    "soft_weight": Entry(around(10)),
    "temperature": Entry(around(2)),
}
"""Option -> what is searched."""

REFUSED = frozenset({*FREE, "seed", "junior", "mask_self_loops", "graph_prior"})
"""Options that do not change a training, or would only choose a lucky seed."""


def space_of(
    values: Mapping[str, Any],
    hints: Mapping[str, Any],
    given: Collection[str],
    search: Mapping[str, Dimension],
) -> Space:
    """The options to search.

    Parameters
    ----------
    values
        Option -> value of the first trial.
    hints
        Option -> type, of all options of the training.
    given
        Options that are fixed at their value.
    search
        Entries of the user's, which go before ``given`` and `SEARCHED`.

    Raises
    ------
    UsageError
        Where nothing is left to search.
    """
    loss = values.get("loss")
    space: Space = {}
    for name, entry in SEARCHED.items():
        if name in hints and name not in given and (entry.losses is None or loss in entry.losses):
            dimension = entry.dimension(values[name])
            space |= {} if dimension is None else {name: dimension}
    space |= search
    if not space:
        raise UsageError("nothing to search: all options are given; leave one out, or name one with --search NAME=...")
    return space


def read_search(words: Mapping[str, Any] | Iterable[str], hints: Mapping[str, Any]) -> dict[str, Dimension]:
    """Entries of the user's: "lr=1e-4:1e-1:log" or "batch_size=128,256", or a mapping of names to such values.

    Parameters
    ----------
    words
        Entries. In a mapping, a value may also be a sequence of choices.
    hints
        Option -> type, of all options of the training.

    Raises
    ------
    UsageError
        For an unknown option, one that cannot be searched, or an impossible value.
    """
    pairs = words.items() if isinstance(words, Mapping) else [_pair(word) for word in words]
    return {name.replace("-", "_"): _dimension(name.replace("-", "_"), spec, hints) for name, spec in pairs}


def _pair(word: str) -> tuple[str, str]:
    name, equals, spec = word.partition("=")
    if not equals or not spec:
        raise UsageError(f"--search should be NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C; got {word}")
    return name.strip(), spec


def _dimension(name: str, spec: str | Sequence[Any], hints: Mapping[str, Any]) -> Dimension:
    if name not in hints:
        raise unknown("option", name, hints, "mulde tune --help-all")
    if name in REFUSED:
        raise UsageError(f"--search: {name} cannot be searched; name an option that changes the model or its training")
    hint = hints[name]
    if isinstance(spec, str) and ":" in spec and not _is_words(hint):
        return _range(name, spec, hint)
    values = spec.split(",") if isinstance(spec, str) else spec
    found = tuple(dict.fromkeys(_value(value, hint, name) for value in values))
    if len(found) < 2:
        raise UsageError(f"--search {name}: expected two values or more, got {spec}; to fix it, give the option itself")
    return Choices(found)


def _range(name: str, spec: str, hint: Any) -> Range:
    low, high, *rest = spec.split(":")
    if rest not in ([], ["log"]):
        raise UsageError(f"--search {name}: expected LOW:HIGH or LOW:HIGH:log, got {spec}")
    least, most = (_value(word, hint, name) for word in (low, high))
    log = rest == ["log"]
    if not least < most or (log and least <= 0):
        above = " above 0" if log else ""
        raise UsageError(f"--search {name}: expected LOW{above} and smaller than HIGH, got {spec}")
    return Range(least, most, log, int in alternatives(hint))


def _value(value: Any, hint: Any, name: str) -> Any:
    """One value in the type of the option."""
    if isinstance(value, str):
        value = value.strip()
        kinds = alternatives(hint)
        if int in kinds and value.lstrip("+-").isdigit():
            value = int(value)
        elif bool in kinds and value in ("true", "false"):
            value = value == "true"
    return typed(value, hint, f"--search {name}:")


def _is_words(hint: Any) -> bool:
    return bool in alternatives(hint) or str in alternatives(hint) or typing.get_origin(hint) is typing.Literal
