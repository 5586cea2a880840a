"""Errors that are explained to the user in one sentence: what was expected, what was found, what to do.

The command line prints the sentence without a traceback. Any other exception is a mistake of the program.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from kge_data.errors import NotWritable, UsageError, WriteError
from kge_data.printing import one_line
from kge_data.spelling import plain

__all__ = ["MissingExtra", "NonFiniteError", "NotWritable", "UsageError", "WriteError", "missing", "unknown"]


NEAREST = 3
FEW = 20


class MissingExtra(UsageError):
    """An optional dependency is not installed."""


class NonFiniteError(ArithmeticError):
    """A loss, gradient or score is NaN or infinite. Exit code 1."""


def missing(what: str, extra: str) -> MissingExtra:
    """The error for an optional dependency.

    Parameters
    ----------
    what
        What the dependency does, for example "pictures are read with Pillow".
    extra
        The extra of this package that installs it.
    """
    return MissingExtra(f"{what}; install it with `pip install mulde[{extra}]`")


def unknown(kind: str, name: str, known: Iterable[str], listed_by: str) -> UsageError:
    """The error for an unknown name, with the nearest known names.

    Parameters
    ----------
    kind
        What the name should be a name of, for example "scorer".
    name
        The unknown name.
    known
        All known names.
    listed_by
        The command that lists them.
    """
    names = {plain(each): each for each in sorted(known)}
    wanted = plain(name)
    near = [each for each in names if wanted and each.startswith(wanted)]
    near += [each for each in difflib.get_close_matches(wanted, names, n=NEAREST, cutoff=0.6) if each not in near]
    if near:
        hint = f"nearest: {', '.join(names[each] for each in near[:NEAREST])}; "
    elif len(names) <= FEW:
        hint = f"there are {', '.join(names.values())}; " if names else "there are none; "
    else:
        hint = ""
    return UsageError(f'no {kind} called "{one_line(name)}"; {hint}all are listed by `{listed_by}`')
