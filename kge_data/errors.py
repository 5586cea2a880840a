"""Errors for users. A message is one sentence: what was expected, what was found, what to do."""

from __future__ import annotations


class UsageError(ValueError):
    """A request that cannot be fulfilled as it is; base of all errors for users."""


class DataError(UsageError):
    """Data that cannot be used as they are."""


class UnknownName(DataError):
    """No entity, relation or data set has this name; the message lists the nearest ones."""


class AmbiguousName(DataError):
    """Several entities or relations have this readable name; the message lists their identifiers."""


def shortened(value: object) -> str:
    """A value as Python writes it, for a message; at most some 120 characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= 120 else value[:117] + "...")
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of too many digits, or nested too deep
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= 120 else text[:117] + "..."


def printable(text: str) -> str:
    """A text with control characters as backslash sequences."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
