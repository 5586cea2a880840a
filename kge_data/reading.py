"""How a graph was read from files: which columns, the first triple, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.analysis.near_equal import near_equal, sentences
from kge_data.columns import quoted
from kge_data.keys import distinct_triples
from kge_data.layout import Layout

FEW = 8  # times as many relations as different heads or tails, from which columns look swapped
SHOWN = 60  # characters of a label


@dataclass(frozen=True)
class Reading:
    """How a graph was read.

    Attributes
    ----------
    lines
        Sentences on files, columns and the first triple, at most three.
    warnings
        Sentences on what looks wrong.
    options
        Arguments of `kge_data.load` that were given, to load the same graph again.
    """

    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """The inverse of `as_dict`."""
        return cls(tuple(values["lines"]), tuple(values["warnings"]), values["options"])


Ids = NDArray[np.int64]


def described(
    layouts: Mapping[Path, Layout | None],
    parts: Sequence[Ids],
    entities: Sequence[str],
    relations: Sequence[str],
    options: Mapping[str, Any],
    remarks: Sequence[str] = (),
) -> Reading:
    """The reading of a graph.

    Parameters
    ----------
    layouts
        The layout of each file; None for RDF.
    parts
        The triples of each file in its order, (n, 3).
    entities, relations
        The labels of their ids.
    options
        Arguments of `kge_data.load`.
    remarks
        Further lines.
    """
    head, relation, tail = parts[0][0].tolist()
    first = (entities[head], relations[relation], entities[tail])
    triple = ", ".join(repr(label if len(label) <= SHOWN else f"{label[: SHOWN - 1]}…") for label in first)
    lines = ("read " + "; ".join(_files(layouts)), f"first triple: ({triple})", *remarks)
    warnings = [
        *_headers(layouts, parts, entities, relations),
        *_repeated_headers(layouts, parts, entities, relations),
        *_swapped(layouts, parts, entities, relations),
        *_repeated(layouts, parts),
        *sentences(near_equal(entities, relations)),
    ]
    return Reading(lines, tuple(warnings), options)


def _files(layouts: Mapping[Path, Layout | None]) -> list[str]:
    groups = groupby(layouts, key=lambda path: "RDF" if layouts[path] is None else str(layouts[path]))
    first = next(iter(layouts))
    return [
        f"{', '.join(str(path) if path is first else path.name for path in paths)}: {layout}"
        for layout, paths in groups
    ]


def _headers(
    layouts: Mapping[Path, Layout | None], parts: Sequence[Ids], entities: Sequence[str], relations: Sequence[str]
) -> list[str]:
    """A warning for each first line whose labels are only in first lines."""
    entity_counts, relation_counts = _counts(parts, len(entities), len(relations))
    first: dict[tuple[int, ...], list[str]] = {}
    for (path, layout), part in zip(layouts.items(), parts, strict=True):
        if layout is not None and not layout.names and len(part) > 1:
            head, relation, tail = part[0].tolist()
            first.setdefault((head, relation, tail), []).append(path.name)
            entity_counts[[head, tail]] -= 1 if head != tail else 2
            relation_counts[relation] -= 1
    return [
        f"the first line of {', '.join(names)} may be a header: its labels {entities[head]!r}, {relations[relation]!r} "
        f"and {entities[tail]!r} are nowhere else; if it is, remove it, or pass --columns "
        f"{','.join(map(quoted, (entities[head], relations[relation], entities[tail])))}."
        for (head, relation, tail), names in first.items()
        if not (entity_counts[head] or entity_counts[tail] or relation_counts[relation])
    ]


def _repeated_headers(
    layouts: Mapping[Path, Layout | None], parts: Sequence[Ids], entities: Sequence[str], relations: Sequence[str]
) -> list[str]:
    """A warning for each file whose header is among its triples, as where tables were joined with their headers."""
    found = []
    for (path, layout), part in zip(layouts.items(), parts, strict=True):
        if layout is None or not layout.names:
            continue
        head, relation, tail = (layout.names[place] for place in layout.places)
        if relation in relations and head in entities and tail in entities:
            ids = entities.index(head), relations.index(relation), entities.index(tail)
            if count := int((part == ids).all(1).sum()):
                found.append(f"the header of {path.name} is {count:,} times among its triples; remove these lines.")
    return found


def _swapped(
    layouts: Mapping[Path, Layout | None], parts: Sequence[Ids], entities: Sequence[str], relations: Sequence[str]
) -> list[str]:
    """A warning where the relation seems to be in another column: many relations, and few different heads or tails."""
    layout = next(iter(layouts.values()))
    if layout is None:
        return []
    different = [len(np.unique(np.concatenate([part[:, place] for part in parts]))) for place in (0, 2)]
    place = 0 if different[0] < different[1] else 2
    both = len({*relations} & {*entities})
    many = 2 * len(relations) >= len(entities) and len(relations) >= FEW * min(different)
    if not many and not (2 * both >= len(relations) >= 2 * min(different)):
        return []
    order = (1, 0, 2) if place == 0 else (0, 2, 1)
    why = f", {both:,} of which are entities, too," if both else ""
    return [
        f"{len(relations):,} different relations{why} but only {min(different):,} different "
        f"{'heads' if place == 0 else 'tails'}: columns may be swapped; if so, pass --columns {layout.spelled(order)}."
    ]


def _repeated(layouts: Mapping[Path, Layout | None], parts: Sequence[Ids]) -> list[str]:
    """A warning for each file that contains a triple more than once, worded as in `kge_data.analysis.validation`."""
    counts = {path: len(part) - len(distinct_triples(part)) for path, part in zip(layouts, parts, strict=True)}
    return [
        f"{path.name.partition('.')[0]} contains {count:,} repeated triples; remove the repetitions."
        for path, count in counts.items()
        if count
    ]


def _counts(parts: Sequence[Ids], num_entities: int, num_relations: int) -> tuple[Ids, Ids]:
    entity_counts, relation_counts = np.zeros(num_entities, np.int64), np.zeros(num_relations, np.int64)
    for part in parts:
        entity_counts += np.bincount(part[:, ::2].ravel(), minlength=num_entities)
        relation_counts += np.bincount(part[:, 1], minlength=num_relations)
    return entity_counts, relation_counts
