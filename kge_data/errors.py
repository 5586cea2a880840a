"""Errors for users. A message is one sentence: what was expected, what was found, what to do."""

from __future__ import annotations

from pathlib import Path

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


def shortened(value: object) -> str:
    """A value as Python writes it, for a message; at most some 120 characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= 120 else value[:117] + "...")
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of too many digits, or nested too deep
        return "a value that is too large to show"
    return text if len(text) <= 120 else text[:117] + "..."


class WriteError(OSError):
    """A file or folder cannot be written: the disk is full, for example, or there is no permission.

    Parameters
    ----------
    path
        What was written, where that is known.
    reason, advice
        Parts of the message.
    """

    strerror: str

    def __init__(self, path: Path | str | None, reason: str, advice: str) -> None:
        super().__init__(f"{path}: {reason}; {advice}" if path else f"{reason}; {advice}")
        self.path, self.strerror, self.advice = path, reason, advice  # strerror: as in other errors of the system

    def __reduce__(self) -> tuple[type[WriteError], tuple[Path | str | None, str, str]]:
        return type(self), (self.path, self.strerror, self.advice)  # between processes


class NotWritable(WriteError, UsageError):
    """There is no permission to write a file or folder."""
