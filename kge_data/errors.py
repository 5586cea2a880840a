"""What goes wrong with data, each as one sentence: what was expected, what came, what to do."""

from __future__ import annotations


class DataError(Exception):
    """The data cannot be used as they are; the message says where and what to do."""


class UnknownName(DataError):
    """No entity, relation or data set has this name; the message lists the nearest ones."""


class AmbiguousName(DataError):
    """Several entities or relations have this readable name; the message lists their identifiers."""
