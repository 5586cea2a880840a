"""One value and the type that its field declares: conversion, and the type in words.

Types are bool, int, float, str, Path, Literal, Duration, one of these or None, and a tuple of these. Numbers are
finite, and whole numbers are smaller than 2^31 in magnitude. `Count`, `Size`, `Whole`, `Positive`, `NonNegative` and
`Fraction` have a narrower range; ``Annotated[float, Range(...)]`` has any.
"""

from __future__ import annotations

import contextlib
import math
import re
import types
import typing
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from kge_data.errors import shortened
from kge_data.spelling import spelled_as
from mulde.errors import UsageError

T = TypeVar("T")

Positional = Annotated[T, "positional"]
"""Type of a field that is also given by its place on the command line: ``Positional[str]``. One per command; it takes
several words where it is a tuple."""

Duration = Annotated[float, "duration"]
"""Type of a field in seconds, above 0, that is written as 90s, 10m, 1.5h or a bare number of seconds."""

LARGEST = 2**31 - 1
SHOWN = 100  # characters of a value in a message


@dataclass(frozen=True)
class Range:
    """The numbers that a field accepts, both ends included."""

    low: float
    high: float
    without_low: bool = False
    """Whether the lower end is excluded."""

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and not (self.without_low and value == self.low)

    def __str__(self) -> str:
        words = [f"above {self.low:,g}" if self.without_low else f"of at least {self.low:,g}"]
        if self.high not in (LARGEST, math.inf):
            words.append(f"at most {self.high:,g}")
        return " and ".join(words)


Count = Annotated[int, Range(1, LARGEST)]
"""Type of a field that counts things, of which there is at least one."""
Size = Annotated[int, Range(1, 100_000)]
"""Type of a field with the size of something in memory, such as a dimension, or with the number of layers."""
Whole = Annotated[int, Range(0, LARGEST)]
"""Type of a field with a whole number that may be 0, such as a seed."""
Threads = Annotated[int, Range(1, 1024)]
"""Type of a field with the number of processor threads."""
Positive = Annotated[float, Range(0, math.inf, without_low=True)]
"""Type of a field with a number above 0, such as a temperature."""
NonNegative = Annotated[float, Range(0, math.inf)]
"""Type of a field with a number that may be 0, such as a weight."""
Fraction = Annotated[float, Range(0, 1, without_low=True)]
"""Type of a field with a fraction above 0."""

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
    type(None): "empty",
}


def typed(value: Any, hint: Any, what: str) -> Any:
    """Convert a value to the declared type.

    Parameters
    ----------
    value
        From Python, a settings file or the command line.
    hint
        The type, as `typing.get_type_hints(..., include_extras=True)` gives it.
    what
        Name of the value, the beginning of the error message.

    Raises
    ------
    UsageError
        For a value of another type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint == Duration:
        if (seconds := _seconds(value)) is not None:
            return seconds
    elif origin is Annotated:
        with contextlib.suppress(UsageError):  # the message is that of this type
            found = typed(value, arguments[0], what)
            if all(found in part for part in _ranges(hint)):
                return found
    elif origin in (Union, types.UnionType):
        for option in arguments:
            with contextlib.suppress(UsageError):
                return typed(value, option, what)
    elif origin is tuple and isinstance(value, tuple | list):
        return tuple(typed(item, arguments[0], f"{what}, entry {i}") for i, item in enumerate(value, 1))
    elif origin is Literal and value in arguments:
        return value
    elif origin is Literal and isinstance(value, str):
        words = [word for word in arguments if isinstance(word, str)]
        if (choice := spelled_as(value, words)) is not None:
            return choice
    elif hint is type(None) and value is None:
        return None
    elif hint is Path and isinstance(value, str | Path) and value != "" and "\0" not in str(value):
        return Path(value)
    elif hint is float and isinstance(value, Real | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # YAML reads 1e-3, which has no point, as a word
            if math.isfinite(number := float(value)):
                return number
    elif hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        if abs(int(value)) <= LARGEST:
            return int(value)  # numpy has integer types of its own
    elif hint in (bool, str) and type(value) is hint:
        return value
    limit = ", below 2^31" if hint is int and isinstance(value, Integral) and abs(int(value)) > LARGEST else ""
    raise UsageError(f"{what} should be {spelled(hint)}{limit}, got {shortened(value)}")


def spelled(hint: Any) -> str:
    """A type in words, for messages."""
    if hint == Duration:
        return "a duration such as 90s, 10m or 2h"
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Annotated:
            return " ".join([spelled(arguments[0]), *map(str, _ranges(hint))])
        case typing.Literal:
            return f"one of {', '.join(map(str, arguments))}"
        case typing.Union | types.UnionType:
            return " or ".join(map(spelled, arguments))
        case origin if origin is tuple:
            return f"a list (each entry {spelled(arguments[0])})"
    return WORDS.get(hint, str(hint))


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union such as int | None, or the type itself; numbers without their range."""
    union = typing.get_origin(hint) in (Union, types.UnionType)
    members = typing.get_args(hint) if union else (hint,)
    return tuple(typing.get_args(each)[0] if _ranges(each) else each for each in members)


def _ranges(hint: Any) -> list[Range]:
    return [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Range)]


def _seconds(value: Any) -> float | None:
    """A duration in seconds; None for anything else."""
    seconds = None
    with contextlib.suppress(OverflowError):
        if isinstance(value, Real) and not isinstance(value, bool):
            seconds = float(value)
        elif isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value.strip())):
            seconds = float(match[1]) * UNITS[match[2]]
    return seconds if seconds is not None and 0 < seconds < math.inf else None
