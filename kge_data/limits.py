"""Limits that protect from damaged and hostile files. Environment variables raise them."""

from __future__ import annotations

import os

from kge_data.errors import DataError

DEFAULTS = {
    "KGE_DATA_CACHE_GB": ("gigabytes", 2),  # of all cached graphs
    "KGE_DATA_LINE_MB": ("megabytes", 1),  # of one line of a text file
    "KGE_DATA_EXPANSION": ("times", 50),  # the size of a compressed file, for its content
}


def limit(variable: str) -> float:
    """The value of a variable of DEFAULTS, or its default.

    Raises
    ------
    DataError
        If it is not a number, or negative; `inf` is no limit.
    """
    unit, default = DEFAULTS[variable]
    given = os.environ.get(variable) or str(default)
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise DataError(f"{variable} should be a number of {unit}, for example {default}; got {given!r}")
    return value
