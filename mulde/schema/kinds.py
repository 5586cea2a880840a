"""Kinds of JSON values: what a key of a file may hold. `check` raises `Mismatch` at the first value of another kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST = 2**31 - 1  # of anything that is counted: ids are int32 in files
SHOWN = 40  # characters of a value in a message


class Mismatch(ValueError):
    """A value of another kind than its key expects."""

    def __init__(self, key: str, expected: str, found: Any):
        super().__init__(f"expected {expected} in {key}, found {shown(found)}" if key else f"expected {expected}")


class Kind(Protocol):
    """What a value may be."""

    def check(self, value: Any, key: str) -> None:
        """Raise Mismatch if a value is of another kind; ``key`` is its place in the file."""


@dataclass(frozen=True)
class Text:
    """A text that can be encoded; one of ``choices``, if there are any."""

    choices: tuple[str, ...] = ()
    most: int = 100_000

    def check(self, value: Any, key: str) -> None:
        if self.choices and not (isinstance(value, str) and value in self.choices):
            raise Mismatch(key, " or ".join(map(repr, self.choices)), value)
        if not isinstance(value, str) or len(value) > self.most or not _encodable(value):
            raise Mismatch(key, f"a text of at most {self.most:,} characters", value)


@dataclass(frozen=True)
class Digest:
    """A SHA-256 as 64 hexadecimal digits, after a prefix."""

    prefix: str = ""

    def check(self, value: Any, key: str) -> None:
        digits = value.removeprefix(self.prefix) if isinstance(value, str) and value.startswith(self.prefix) else ""
        if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            raise Mismatch(key, f"{self.prefix!r} and 64 digits of a SHA-256" if self.prefix else "a SHA-256", value)


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    low: int = 0
    high: int = MOST

    def check(self, value: Any, key: str) -> None:
        if type(value) is not int or not self.low <= value <= self.high:
            raise Mismatch(key, f"a whole number from {self.low} to {self.high}", value)


@dataclass(frozen=True)
class Number:
    """A number; ``finite`` excludes NaN and infinity."""

    low: float = -math.inf
    high: float = math.inf
    finite: bool = True

    def check(self, value: Any, key: str) -> None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and _as_float(value) is not None
        if not fits or (self.finite and not (math.isfinite(value) and self.low <= value <= self.high)):
            bounded = (self.low, self.high) != (-math.inf, math.inf)
            raise Mismatch(key, f"a number from {self.low:g} to {self.high:g}" if bounded else "a number", value)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, value: Any, key: str) -> None:
        if not isinstance(value, bool):
            raise Mismatch(key, "true or false", value)


@dataclass(frozen=True)
class Maybe:
    """A value of a kind, or null."""

    kind: Kind

    def check(self, value: Any, key: str) -> None:
        if value is not None:
            self.kind.check(value, key)


@dataclass(frozen=True)
class Items:
    """A list of values of one kind; of ``length`` values, if that is given."""

    kind: Kind
    length: int | None = None

    def check(self, value: Any, key: str) -> None:
        if not isinstance(value, list) or self.length not in (None, len(value)):
            raise Mismatch(key, "a list" if self.length is None else f"a list of {self.length} values", value)
        for number, item in enumerate(value):
            self.kind.check(item, f"{key}[{number}]")


@dataclass(frozen=True)
class Named:
    """Values of one kind by names that the file chooses."""

    kind: Kind

    def check(self, value: Any, key: str) -> None:
        for name, item in _mapping(value, key).items():
            Text().check(name, f"a name in {key or 'the file'}")
            self.kind.check(item, _below(key, name))


@dataclass(frozen=True)
class Fields:
    """Values by known names. Others are of the kind ``others``, or ignored without one."""

    required: Mapping[str, Kind] = field(default_factory=dict)
    optional: Mapping[str, Kind] = field(default_factory=dict)
    others: Kind | None = None

    def check(self, value: Any, key: str) -> None:
        content = _mapping(value, key)
        if missing := [name for name in self.required if name not in content]:
            raise Mismatch("", f"the key {_below(key, missing[0])}, found none", None)
        known = {**self.required, **self.optional}
        for name, item in content.items():
            if (kind := known.get(name, self.others)) is not None:
                kind.check(item, _below(key, name))


@dataclass(frozen=True)
class Plain:
    """Any value whose texts can be encoded: settings and records that are only shown."""

    def check(self, value: Any, key: str) -> None:
        if isinstance(value, dict):
            Named(self).check(value, key)
        elif isinstance(value, list):
            Items(self).check(value, key)
        elif isinstance(value, str):
            Text().check(value, key)


def shown(value: Any) -> str:
    """A value in a message: in one line, and short."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value):,} values"
    if type(value) is int and abs(value) >= 10**SHOWN:  # Python does not print more than 4,300 digits
        return "a larger one"
    text = {None: "null", True: "true", False: "false"}[value] if value in (None, True, False) else ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch(key or "the file", "a mapping", value)
    return value


def _below(key: str, name: str) -> str:
    name = ascii(name)[1:-1] if len(name) <= SHOWN else f"{ascii(name[:SHOWN])[1:-1]}..."
    return f"{key}.{name}" if key else name


def _encodable(text: str) -> bool:
    try:
        text.encode(errors="surrogateescape")  # paths need not be UTF-8
    except UnicodeEncodeError:
        return False
    return True


def _as_float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
