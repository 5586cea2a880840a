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
