"""RDF: N-Triples (.nt) and Turtle (.ttl), parsed by pyoxigraph.

An entity is an IRI, without its brackets, or a blank node, written "_:name". Literals are not entities: those of
rdfs:label and skos:prefLabel become readable names (English and untagged ones are preferred), and a warning counts the
others, which are left out. Relative IRIs need a base, that of the file or `base`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from kge_data.errors import DataError
from kge_data.formats._reading import ROWS_PER_BLOCK
from kge_data.numbering import Columns

ENDINGS = (".nt", ".ttl")
NAMING = frozenset(("http://www.w3.org/2000/01/rdf-schema#label", "http://www.w3.org/2004/02/skos/core#prefLabel"))


def read(path: Path, names: dict[str, str], base: str | None = None) -> Iterator[Columns]:
    """The triples of a file, block by block; readable names are added to `names`, identifier -> name."""
    try:
        import pyoxigraph  # noqa: F401
    except ImportError:
        raise DataError(f"{path}: reading RDF needs the package pyoxigraph; `pip install pyoxigraph`.") from None
    triples = _without_literals(path, names, base)
    while block := list(islice(triples, ROWS_PER_BLOCK)):
        heads, relations, tails = map(list, zip(*block, strict=True))
        yield heads, relations, tails


def _without_literals(path: Path, names: dict[str, str], base: str | None) -> Iterator[tuple[str, str, str]]:
    from kge_data.formats._oxigraph import statements

    dropped = 0
    for subject, predicate, object_ in statements(path, base):
        if isinstance(object_, str):
            yield subject, predicate, object_
        elif predicate in NAMING:
            if object_.language in (None, "en") or subject not in names:
                names[subject] = object_.value
        else:
            dropped += 1
    if dropped:
        warnings.warn(
            f"{path}: {dropped:,} triples whose object is a literal were left out; link prediction ranks entities.",
            stacklevel=2,
        )
