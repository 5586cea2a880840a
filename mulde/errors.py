"""Errors for people. A message is one sentence: what was expected, what came, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from kge_data.errors import UsageError

__all__ = ["UsageError", "unknown"]


def unknown(kind: str, name: str, known: Iterable[str], listed_by: str) -> UsageError:
    """The error for an unknown name, with the nearest known names.

    Parameters
    ----------
    kind
        What the name should be a name of, "scorer" for instance.
    name
        The unknown name.
    known
        All known names.
    listed_by
        The command that lists them.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5) or names
    nearest = f"nearest: {', '.join(near)}" if near else "there are none"
    return UsageError(f'no {kind} called "{name}"; {nearest}; all are listed by `{listed_by}`')
