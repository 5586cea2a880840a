"""Warnings of this package as remarks of one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kge_data
import mulde

OURS = tuple(Path(str(package.__file__)).parent for package in (mulde, kge_data))


@contextmanager
def short_warnings() -> Iterator[None]:
    """Print warnings of ours without file and line of the code during the block."""
    usual = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if category is UserWarning and any(Path(filename).is_relative_to(place) for place in OURS):
            return f"mulde: warning: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = usual
