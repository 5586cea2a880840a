"""Parsing of N-Triples and Turtle by pyoxigraph, which `rdf` imports with this module when it is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from pyoxigraph import BlankNode, Literal, NamedNode, RdfFormat, Triple, parse

from kge_data.errors import DataError
from kge_data.formats._compressed import ending
from kge_data.formats._encoding import opened_text
from kge_data.formats._malformed import malformed
from kge_data.formats._reading import quoted

ANONYMOUS = re.compile("[a-f][0-9a-f]{23,31}")  # the random names that pyoxigraph gives to [] and () in Turtle
DEEPEST = 100  # triple terms in one another; at some 300, pyoxigraph overflows the stack of a small thread

Statement = tuple[str, str, "str | Literal"]


def statements(path: Path, base: str | None) -> Iterator[Statement]:
    """The triples of a file in its order: subject, predicate and object, nodes as labels.

    N-Triples have no relative IRIs. With a base they are read as Turtle, of which they are a part.

    Parameters
    ----------
    path
        The file.
    base
        Absolute IRI that relative IRIs are resolved against.

    Raises
    ------
    DataError
        If `base` is not an absolute IRI, or the file is not well-formed or has nodes without a name.
    """
    grammar = RdfFormat.N_TRIPLES if ending(path) == ".nt" and base is None else RdfFormat.TURTLE
    # Turtle may be one long line; pyoxigraph limits its terms
    with opened_text(path, lines=ending(path) == ".nt") as stream:
        source = _Source(stream, path)
        try:
            quads = parse(cast("IO[bytes]", source), grammar, base_iri=base)
        except ValueError as error:
            raise DataError(f"base: expected an absolute IRI such as http://example.org/, got {base!r}.") from error
        try:
            for quad in quads:
                source.nested = 0
                subject, object_ = quad.subject, quad.object
                if not isinstance(object_, Literal):
                    object_ = _label(object_, path, grammar)
                yield _label(subject, path, grammar), quad.predicate.value, object_
        except SyntaxError as error:
            raise malformed(path, grammar.name, error) from error
        except MemoryError as error:  # of the parser's buffer
            raise DataError(f"{path}: a term is too long ({error}); check that it is the right file.") from error


def _label(node: NamedNode | BlankNode | Triple, path: Path, grammar: RdfFormat) -> str:
    if isinstance(node, NamedNode):
        return node.value
    if isinstance(node, Triple):
        raise DataError(
            f"{path}: has a triple as object, {quoted(str(node).encode())}, which is not an entity; remove it."
        )
    if grammar == RdfFormat.TURTLE and ANONYMOUS.fullmatch(node.value):
        raise DataError(
            f"{path}: has a blank node without a name (in brackets, a list or an annotation), which would get another "
            "name each time the file is read. Give it a name (_:name) or an IRI."
        )
    return str(node)


class _Source:
    """The bytes of a file. Refuses triple terms that are nested so deep that the parser would end the process."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.nested = 0  # triple terms begun since the last statement
        self._stream, self._path = stream, path

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.nested += piece.count(b"<<(")
        if self.nested > DEEPEST:
            raise DataError(f"{self._path}: has more than {DEEPEST} triple terms <<( )>> in one triple; remove it.")
        return piece
