"""Counts and lists of names in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def counted(count: int, what: str = "picture") -> str:
    """1 picture, 2 pictures."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def are(count: int, what: str = "picture") -> str:
    """1 picture is, 2 pictures are."""
    return f"{counted(count, what)} {'is' if count == 1 else 'are'}"


def few(names: Iterable[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
