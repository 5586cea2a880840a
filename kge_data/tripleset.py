"""A knowledge graph in three splits, as arrays of ids with the names of entities and relations."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kge_data.checks import checked_ids, checked_names
from kge_data.errors import DataError
from kge_data.lookup import Names

if TYPE_CHECKING:
    import pandas

    from kge_data.reading import Reading

SPLITS = ("train", "valid", "test")
FIELDS = ("head", "relation", "tail")
LINES_PER_BLOCK = 1 << 16
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
TO_ESCAPE = re.compile(r"[\\\t\n\r]")
UNESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


@dataclass(frozen=True, eq=False)
class TripleSet:
    """Triples of ids, with the identifiers and readable names of entities and relations.

    Attributes
    ----------
    name
        Name of the graph: "fb15k-237", or the name of its folder or file.
    train, valid, test
        (n, 3) int64; head, relation, tail, with relation ids 0..num_relations-1. Other integer arrays, lists, and torch
        tensors on the CPU are converted.
    entities, relations
        Identifiers as in the files, ascending; the position is the id. Ids do not depend on the order of the lines.
    entity_text, relation_text
        id -> readable name, for those that have one.
    reading
        How the graph was read from files of your own; None for other graphs.

    Raises
    ------
    DataError
        If ids are not integers in range, a split does not have three columns, or names are not distinct strings.
    """

    name: str
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    entity_text: Mapping[int, str] = field(default_factory=dict)
    relation_text: Mapping[int, str] = field(default_factory=dict)
    reading: Reading | None = None

    def __post_init__(self) -> None:
        for kind, field_name in (("entity", "entities"), ("relation", "relations")):
            names = checked_names(getattr(self, field_name), kind, self.name)
            object.__setattr__(self, field_name, names)
        for split in SPLITS:
            ids = checked_ids(getattr(self, split), f"{self.name}, {split}", len(self.entities), len(self.relations))
            object.__setattr__(self, split, ids)

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
        """The id of an entity, by identifier or readable name.

        Raises
        ------
        UnknownName
            If there is no such name; with the nearest names.
        AmbiguousName
            If several have this readable name; with the candidates.
        """
        return self._entity_names.find(name)

    def relation_id(self, name: str) -> int:
        """The id of a relation, by identifier or readable name.

        Raises
        ------
        UnknownName
            If there is no such name; with the nearest names.
        AmbiguousName
            If several have this readable name; with the candidates.
        """
        return self._relation_names.find(name)

    def entity_ids(self, names: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, str]]:
        """The ids of many entities (n,), -1 for unknown and ambiguous names, and a message for each such name."""
        return self._entity_names.find_all(names)

    def relation_ids(self, names: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, str]]:
        """The ids of many relations (n,), -1 for unknown and ambiguous names, and a message for each such name."""
        return self._relation_names.find_all(names)

    def entity_label(self, entity: int) -> str:
        """The readable name of an entity, or its identifier if it has none."""
        return self.entity_text.get(int(entity), self.entities[entity])

    def relation_label(self, relation: int) -> str:
        """The readable name of a relation, or its identifier if it has none."""
        return self.relation_text.get(int(relation), self.relations[relation])

    def to_pandas(self, split: str = "train") -> pandas.DataFrame:
        """The triples of a split as a DataFrame of identifiers, with the columns head, relation and tail.

        Raises
        ------
        DataError
            If `split` is not train, valid or test, or pandas is not installed.
        """
        if split not in SPLITS:
            raise DataError(f"expected the split {', '.join(SPLITS[:-1])} or {SPLITS[-1]}, got {split!r}.")
        try:
            import pandas
        except ImportError:
            raise DataError("a DataFrame needs the package pandas; `pip install pandas`.") from None
        heads, relations, tails = getattr(self, split).T.tolist() or ([], [], [])
        columns = (
            [self.entities[head] for head in heads],
            [self.relations[relation] for relation in relations],
            [self.entities[tail] for tail in tails],
        )
        return pandas.DataFrame(dict(zip(FIELDS, columns, strict=True)))

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

    def _repr_html_(self) -> str:
        """The counts as a table, for notebooks."""
        from html import escape as escape_html

        counts = {"entities": self.num_entities, "relations": self.num_relations}
        counts |= {f"{split} triples": len(getattr(self, split)) for split in SPLITS}
        rows = "".join(f"<tr><th>{what}</th><td>{count:,}</td></tr>" for what, count in counts.items())
        return f"<table><caption>{escape_html(self.name)}</caption>{rows}</table>"


def canonical_lines(triples: TripleSet) -> Iterator[bytes]:
    """The canonical form of a graph, in pieces of UTF-8 text; it does not depend on file format or order of lines.

    For each split: a line with its name, then its triples sorted by head, relation and tail, one per line as
    head<TAB>relation<TAB>tail<LF>. Within labels, backslash, tab, line feed and carriage return are written
    as backslash sequences. For labels without these characters a shell computes the same checksum:
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
    """The label with backslash, tab and line ends written as backslash sequences."""
    return label.translate(ESCAPES) if TO_ESCAPE.search(label) else label


def unescape(line: str) -> str:
    """The inverse of `escape`."""
    if "\\" not in line:
        return line
    return re.sub(r"\\(.)", lambda found: UNESCAPES[found[1]], line)
