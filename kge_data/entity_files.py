"""Files about the entities of a graph: lists of names, and types. Types are also read from a graph that was RDF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kge_data.errors import DataError, shortened
from kge_data.formats._encoding import opened_text
from kge_data.keys import Ids
from kge_data.spelling import spelled_as
from kge_data.tripleset import TripleSet

RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
LISTED = 5  # types in a message


@dataclass(frozen=True)
class EntityTypes:
    """Types of entities; an entity may have several, or none."""

    entities: Ids
    """(n,) entity of each pair of an entity and a type."""
    types: Ids
    """(n,) position of the type in ``names``."""
    names: tuple[str, ...]
    """The types."""
    source: str
    """File or graph that they were read from, for messages."""

    def members(self, name: str) -> Ids:
        """The entities (m,) of a type, ascending.

        Raises
        ------
        DataError
            If no entity has this type.
        """
        found = name if name in self.names else spelled_as(name, self.names)
        if found is None:
            counts = np.bincount(self.types, minlength=len(self.names))
            most = [f"{self.names[i]} ({counts[i]:,})" for i in np.argsort(-counts, kind="stable")[:LISTED]]
            raise DataError(
                f"no entity has the type {shortened(name)} in {self.source}; the largest of {len(self.names):,} types "
                f"are {', '.join(most)}"
            )
        return np.unique(self.entities[self.types == self.names.index(found)])

    def sharing(self, entities: Ids) -> Ids:
        """The entities (m,), ascending, that have a type of at least one of these entities (k,)."""
        kinds = np.unique(self.types[np.isin(self.entities, entities)])
        return np.unique(self.entities[np.isin(self.types, kinds)])

    def lines(self, graph: TripleSet) -> bytes:
        """The content of a file that `read_types` reads."""
        pairs = zip(self.entities.tolist(), self.types.tolist(), strict=True)
        return "".join(f"{graph.entities[entity]}\t{self.names[kind]}\n" for entity, kind in pairs).encode()


def read_types(path: Path, graph: TripleSet) -> EntityTypes:
    """A file of lines "entity TAB type"; an entity with several types has several lines.

    Parameters
    ----------
    path
        A text file, also with .gz or .zst.
    graph
        The graph of the entities, which are given by identifier or readable name.

    Raises
    ------
    DataError
        If the file cannot be read, has no line, or a line has another form or an unknown entity.
    """
    return _types(_lines(path, "lines `entity TAB type`"), graph, str(path))


def types_in(text: str, graph: TripleSet, source: str) -> EntityTypes:
    """The types in the text of such a file."""
    return _types(((number, line) for number, line in enumerate(text.split("\n"), 1) if line), graph, source)


def _types(lines: Iterable[tuple[int, str]], graph: TripleSet, source: str) -> EntityTypes:
    entities, kinds = [], []
    for number, line in lines:
        parts = line.split("\t")
        if len(parts) != 2 or not all(parts):
            raise DataError(f"{source}, line {number}: expected an entity, a tab and its type, found {shortened(line)}")
        entities.append(_entity(graph, parts[0], source, number))
        kinds.append(parts[1])
    return _of_pairs(entities, kinds, source)


def types_of_graph(graph: TripleSet) -> EntityTypes:
    """The classes of the entities of a graph that was read from RDF, by the training triples with rdf:type.

    Superclasses are not inferred.

    Raises
    ------
    DataError
        If the graph has no such triples.
    """
    if RDF_TYPE in graph.relations:
        relation = graph.relations.index(RDF_TYPE)
        heads, _, tails = graph.train[graph.train[:, 1] == relation].T
        if len(heads):
            return _of_pairs(heads.tolist(), [graph.entity_label(tail) for tail in tails], f"the graph {graph.name}")
    raise DataError(
        f"{graph.name} has no types: no training triple has the relation rdf:type; give a file of lines "
        "`entity TAB type` with --types"
    )


def read_entities(path: Path, graph: TripleSet) -> Ids:
    """The entities (n,), ascending, of a file with one name, an identifier or a readable one, in each line.

    Raises
    ------
    DataError
        If the file cannot be read, has no line, or a line has an unknown entity.
    """
    return np.unique([_entity(graph, line, str(path), number) for number, line in _lines(path, "one name per line")])


def _of_pairs(entities: list[int], kinds: list[str], source: str) -> EntityTypes:
    names, numbers = np.unique(kinds, return_inverse=True)
    pairs = np.unique(np.stack([np.array(entities), numbers], axis=1), axis=0)
    return EntityTypes(pairs[:, 0], pairs[:, 1], tuple(names.tolist()), source)


def _entity(graph: TripleSet, name: str, source: str, number: int) -> int:
    try:
        return graph.entity_id(name)
    except DataError as error:
        raise type(error)(f"{source}, line {number}: {error}") from None


def _lines(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and contents of the lines of a text file that are not empty."""
    count = 0
    try:
        with opened_text(path) as stream:
            for number, line in enumerate(stream, 1):
                text = line.rstrip(b"\r\n").decode()
                if text:
                    count += 1
                    yield number, text
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected {expected} in UTF-8, but it cannot be read ({error})") from error
    if not count:
        raise DataError(f"{path}: expected {expected}, found an empty file")
