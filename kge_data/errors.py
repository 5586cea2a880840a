"""Errors for users. A message is one sentence: what was expected, what was found, what to do."""

from __future__ import annotations

from kge_data.printing import printable


class UsageError(ValueError):
    """A request that cannot be fulfilled as it is; base of all errors for users."""

    def __str__(self) -> str:
        return printable(super().__str__())


class DataError(UsageError):
    """Data that cannot be used as they are."""


class UnknownName(DataError):
    """No entity, relation or data set has this name; the message lists the nearest ones."""


class AmbiguousName(DataError):
    """Several entities or relations have this readable name; the message lists their identifiers."""
