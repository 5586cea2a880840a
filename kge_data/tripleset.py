"""A knowledge graph in three splits: which triples, which names. Arrays out, nothing about training."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kge_data.lookup import Names

SPLITS = ("train", "valid", "test")
LINES_PER_BLOCK = 1 << 16
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
TO_ESCAPE = re.compile(r"[\\\t\n\r]")
UNESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}

Labels = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class TripleSet:
    """Triples as numbers, with the names the numbers stand for.

    Attributes:
        name: what to call the graph, "fb15k-237" or the name of the folder or file.
        train, valid, test: (n, 3) int64; head, relation, tail, with relation ids 0..num_relations-1.
        entities, relations: identifiers as in the files, ascending; the position is the id. The same
            graph gets the same ids whatever the order of its lines.
        entity_text, relation_text: id -> readable name, for those that have one.
    """

    name: str
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    entity_text: Mapping[int, str] = field(default_factory=dict)
    relation_text: Mapping[int, str] = field(default_factory=dict)

    @property
    def num_entities(self) -> int:
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        return len(self.relations)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the canonical form, "sha256:...": see `canonical_lines`."""
        digest = hashlib.sha256()
        for lines in canonical_lines(self):
            digest.update(lines)
        return f"sha256:{digest.hexdigest()}"

    def entity_id(self, name: str) -> int:
        """The id of an entity, by identifier or readable name. Raises UnknownName or AmbiguousName."""
        return self._entity_names.find(name)

    def relation_id(self, name: str) -> int:
        """The id of a relation, by identifier or readable name. Raises UnknownName or AmbiguousName."""
        return self._relation_names.find(name)

    def entity_ids(self, names: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, str]]:
        """The ids of many entities (n,), -1 for an unknown or ambiguous name, and the reason for each such name."""
        return self._entity_names.find_all(names)

    def relation_ids(self, names: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, str]]:
        """The ids of many relations (n,), -1 for an unknown or ambiguous name, and the reason for each such name."""
        return self._relation_names.find_all(names)

    def entity_label(self, entity: int) -> str:
        """The readable name of an entity, or its identifier where it has none."""
        return self.entity_text.get(int(entity), self.entities[entity])

    def relation_label(self, relation: int) -> str:
        """The readable name of a relation, or its identifier where it has none."""
        return self.relation_text.get(int(relation), self.relations[relation])

    @cached_property
    def _entity_names(self) -> Names:
        return Names("entity", self.entities, self.entity_text)

    @cached_property
    def _relation_names(self) -> Names:
        return Names("relation", self.relations, self.relation_text)

    def __repr__(self) -> str:
        return (
            f"TripleSet({self.name!r}: {self.num_entities:,} entities, {self.num_relations:,} relations, "
            f"{len(self.train):,} train / {len(self.valid):,} valid / {len(self.test):,} test triples)"
        )


def from_labels(
    name: str, train: Iterable[Labels], valid: Iterable[Labels] = (), test: Iterable[Labels] = ()
) -> TripleSet:
    """A TripleSet from triples of text in memory: three iterables of (head, relation, tail)."""
    splits = [list(split) for split in (train, valid, test)]
    entities = tuple(sorted({label for split in splits for head, _, tail in split for label in (head, tail)}))
    relations = tuple(sorted({relation for split in splits for _, relation, _ in split}))
    entity_ids = {label: number for number, label in enumerate(entities)}
    relation_ids = {label: number for number, label in enumerate(relations)}
    arrays = [
        np.array([(entity_ids[h], relation_ids[r], entity_ids[t]) for h, r, t in split], np.int64).reshape(-1, 3)
        for split in splits
    ]
    return TripleSet(name, arrays[0], arrays[1], arrays[2], entities, relations)


def canonical_lines(triples: TripleSet) -> Iterator[bytes]:
    """The canonical form of a graph, in pieces of UTF-8 text; mirrors and archives of one graph agree on it.

    For each split: a line with its name, then its triples sorted by head, relation and tail, one a line as
    head<TAB>relation<TAB>tail<LF>. Within labels, backslash, tab, line feed and carriage return are written
    as backslash sequences. For ordinary labels a shell gives the same:
    `for s in train valid test; do echo $s; LC_ALL=C sort $s.txt; done | sha256sum`.
    """
    entities = [escape(label) for label in triples.entities]
    relations = [escape(label) for label in triples.relations]
    entity_order, relation_order = _ranks(triples.entities), _ranks(triples.relations)
    for split in SPLITS:
        yield f"{split}\n".encode()
        heads, kinds, tails = getattr(triples, split).T
        order = np.lexsort((entity_order[tails], relation_order[kinds], entity_order[heads]))
        for start in range(0, len(order), LINES_PER_BLOCK):
            block = order[start : start + LINES_PER_BLOCK]
            columns = (
                map(entities.__getitem__, heads[block].tolist()),
                map(relations.__getitem__, kinds[block].tolist()),
                map(entities.__getitem__, tails[block].tolist()),
            )
            yield ("\n".join(map("\t".join, zip(*columns, strict=True))) + "\n").encode()


def _ranks(labels: tuple[str, ...]) -> NDArray[np.int64]:
    """The position of each label in sorted order, (len(labels),)."""
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[sorted(range(len(labels)), key=labels.__getitem__)] = np.arange(len(labels))
    return ranks


def escape(label: str) -> str:
    """The label on one line and without tabs, by backslash sequences."""
    return label.translate(ESCAPES) if TO_ESCAPE.search(label) else label


def unescape(line: str) -> str:
    """The label that `escape` was given."""
    if "\\" not in line:
        return line
    return re.sub(r"\\(.)", lambda found: UNESCAPES[found[1]], line)
