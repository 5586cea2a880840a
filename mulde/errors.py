"""Bad input from the user, told as one sentence: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """What was asked for cannot be done as asked; the message says why and what to do. Exit code 2."""


def unknown(kind: str, name: str, known: Iterable[str], listed_by: str) -> UsageError:
    """The error for a name nobody has, with the nearest names and the command that lists all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5) or names
    nearest = f"nearest: {', '.join(near)}" if near else "there are none"
    return UsageError(f'no {kind} called "{name}"; {nearest}; all are listed by `{listed_by}`')
