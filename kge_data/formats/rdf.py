"""RDF: N-Triples (.nt) and Turtle (.ttl), parsed by rdflib.

An entity is an IRI, without its brackets, or in N-Triples a blank node, written "_:name". Literals are not entities:
those of rdfs:label and skos:prefLabel become readable names (English and untagged ones are preferred), and a warning
counts the others, which are left out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from kge_data.errors import DataError
from kge_data.formats._compressed import ending, opened
from kge_data.formats._reading import ROWS_PER_BLOCK, first_wrong_byte, not_utf8, quoted
from kge_data.numbering import Columns

ENDINGS = (".nt", ".ttl")
NAMING = frozenset(("http://www.w3.org/2000/01/rdf-schema#label", "http://www.w3.org/2004/02/skos/core#prefLabel"))
IRI = r'<([^\x00-\x20<>"{}|^`\\]+)>'
PLAIN = re.compile(rf"[ \t]*{IRI}[ \t]*{IRI}[ \t]*{IRI}[ \t]*\.[ \t]*[\r\n]*")  # lines that need no parser

Terms = tuple[Any, Any, Any]  # rdflib's subject, predicate and object, or three IRIs as text


def read(path: Path, names: dict[str, str]) -> Iterator[Columns]:
    """The triples of a file, block by block; readable names are added to `names`, identifier -> name."""
    try:
        import rdflib  # noqa: F401
    except ImportError:
        raise DataError(f"{path}: reading RDF needs the package rdflib; `pip install rdflib`.") from None
    terms = _ntriples(path) if ending(path) == ".nt" else _turtle(path)
    facts = _without_literals(terms, path, names)
    while block := list(islice(facts, ROWS_PER_BLOCK)):
        heads, relations, tails = map(list, zip(*block, strict=True))
        yield heads, relations, tails


def _without_literals(terms: Iterable[Terms], path: Path, names: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    from rdflib import Literal

    dropped = 0
    for subject, predicate, object_ in terms:
        if not isinstance(object_, Literal):
            yield _label(subject), str(predicate), _label(object_)
        elif str(predicate) in NAMING:
            if object_.language in (None, "en") or _label(subject) not in names:
                names[_label(subject)] = str(object_)
        else:
            dropped += 1
    if dropped:
        warnings.warn(
            f"{path}: {dropped:,} triples whose object is a literal were left out; link prediction ranks entities.",
            stacklevel=2,
        )


def _label(term: Any) -> str:
    from rdflib import BNode

    return f"_:{term}" if isinstance(term, BNode) else str(term)


def _ntriples(path: Path) -> Iterator[Terms]:
    """The statements of an N-Triples file, parsed line by line: memory stays flat, and errors have a line number."""
    from rdflib.exceptions import ParserError
    from rdflib.plugins.parsers.ntriples import W3CNTriplesParser

    found: list[Terms] = []
    parser = W3CNTriplesParser(sink=_Sink(found), bnode_context=_KeepsNames())  # type: ignore[arg-type]
    with opened(path) as stream:
        for line_number, raw in enumerate(stream, 1):
            try:
                line = raw.decode()
                if plain := PLAIN.fullmatch(line):
                    yield plain[1], plain[2], plain[3]
                    continue
                parser.line = line.rstrip("\r\n")
                parser.parseline()
            except UnicodeDecodeError as error:
                raise not_utf8(path, line_number, raw.rstrip(b"\r\n"), error.start) from error
            except ParserError as error:
                raise DataError(
                    f"{path}, line {line_number}: not an N-Triples statement ({error}): {quoted(raw.rstrip())}. "
                    f"Expected `<head> <relation> <tail> .`"
                ) from error
            yield from found
            found.clear()


class _Sink:
    """Collects the statements that rdflib's parser finds."""

    def __init__(self, found: list[Terms]) -> None:
        self._found = found

    def triple(self, subject: Any, predicate: Any, object_: Any) -> None:
        self._found.append((subject, predicate, object_))


class _KeepsNames(dict[str, str]):
    """rdflib's table of new names for blank nodes: every node keeps its name in the file."""

    def get(self, name: str, default: Any = None) -> str:
        return name


def _turtle(path: Path) -> Iterator[Terms]:
    from rdflib import BNode, Graph
    from rdflib.plugins.parsers.notation3 import BadSyntax

    with opened(path) as stream:
        content = stream.read()
    if (wrong := first_wrong_byte(content)) is not None:
        line_number = content.count(b"\n", 0, wrong) + 1
        line = content.split(b"\n")[line_number - 1]
        raise not_utf8(path, line_number, line, first_wrong_byte(line) or 0)
    text = content.decode()
    try:
        graph = Graph().parse(data=text, format="turtle")
    except BadSyntax as error:
        place = min(error._i, len(text.rstrip()))  # its own line numbers count some lines twice
        line_number = text.count("\n", 0, place) + 1
        line = text.encode().split(b"\n")[line_number - 1]
        raise DataError(
            f"{path}, line {line_number}: not Turtle ({error._why}): {quoted(line)}. Correct it; the cause may be "
            "before it."
        ) from error
    for triple in graph:
        if any(isinstance(term, BNode) for term in triple):
            raise DataError(
                f"{path}: has a blank node ({' '.join(term.n3() for term in triple)}), which gets another name each "
                f"time a Turtle file is read. Give it an IRI, or convert the file to N-Triples, where names are kept."
            )
    yield from sorted(graph)  # rdflib's own order changes from run to run
