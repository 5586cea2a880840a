"""One value and the type that its field declares: conversion, and the type in words.

Types are bool, int, float, str, Path, Literal, Duration, one of these or None, and a tuple of these.
"""

from __future__ import annotations

import contextlib
import re
import types
import typing
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
"""Type of a field in seconds that is written as 90s, 10m, 1.5h or a bare number of seconds."""

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
        return typed(value, arguments[0], what)
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
    elif hint is Path and isinstance(value, str | Path) and "\0" not in str(value):
        return Path(value)
    elif hint is float and isinstance(value, Real | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # YAML reads 1e-3, which has no point, as a word
            return float(value)
    elif hint is int and isinstance(value, Integral) and not isinstance(value, bool) and -(2**63) <= int(value) < 2**63:
        return int(value)  # numpy has integer types of its own
    elif hint in (bool, str) and type(value) is hint:
        return value
    raise UsageError(f"{what} should be {spelled(hint)}, got {shortened(value)}")


def spelled(hint: Any) -> str:
    """A type in words, for messages."""
    if hint == Duration:
        return "a duration such as 90s, 10m or 2h"
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Annotated:
            return spelled(arguments[0])
        case typing.Literal:
            return f"one of {', '.join(map(str, arguments))}"
        case typing.Union | types.UnionType:
            return " or ".join(map(spelled, arguments))
        case origin if origin is tuple:
            return f"a list (each entry {spelled(arguments[0])})"
    return WORDS.get(hint, str(hint))


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union such as int | None; for any other type itself."""
    union = typing.get_origin(hint) in (Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _seconds(value: Any) -> float | None:
    """A duration in seconds; None for anything else."""
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value.strip() if isinstance(value, str) else "")
    return float(match[1]) * UNITS[match[2]] if match else None
