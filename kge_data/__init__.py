"""Knowledge graphs for link prediction: triples, names and known answers.

    >>> import kge_data
    >>> graph = kge_data.load("umls")

Needs numpy only; RDF, Parquet and Zstandard files need pyoxigraph, pyarrow and zstandard. The names below are imported
on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; the same names as in _HOMES
    from kge_data.errors import AmbiguousName, DataError, UnknownName, UsageError
    from kge_data.in_memory import from_triples
    from kge_data.loading import load
    from kge_data.published.catalogue import names
    from kge_data.tripleset import TripleSet

_HOMES = {
    "AmbiguousName": "kge_data.errors",
    "DataError": "kge_data.errors",
    "TripleSet": "kge_data.tripleset",
    "UnknownName": "kge_data.errors",
    "UsageError": "kge_data.errors",
    "from_triples": "kge_data.in_memory",
    "load": "kge_data.loading",
    "names": "kge_data.published.catalogue",
}

__all__ = [
    "AmbiguousName",
    "DataError",
    "TripleSet",
    "UnknownName",
    "UsageError",
    "from_triples",
    "load",
    "names",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'kge_data' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
