"""Validation of a graph for link prediction: repeated triples, unseen entities, leaks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np

from kge_data.analysis.cardinality import classes
from kge_data.analysis.leaks import THRESHOLD, RelatedPair, count_leaks, related_relations
from kge_data.analysis.near_equal import NearEqual, near_equal, sentences
from kge_data.filters import KnownAnswers
from kge_data.keys import Ids, distinct_triples
from kge_data.tripleset import SPLITS, TripleSet

MAX_LEAK = 0.01  # fraction of leaked triples above which they are reported as a problem
LISTED = 20  # related pairs in the printed report
COLUMNS = ("triples", "repeated", "new entities", "new relations", "with new ones")
WIDTH = 15


@dataclass(frozen=True)
class SplitReport:
    """Counts of one split.

    Attributes
    ----------
    triples
        All triples, with repetitions.
    duplicates
        Repetitions of earlier triples.
    unseen_entities, unseen_relations
        Different entities and relations that do not occur in train.
    with_unseen
        Triples with an entity or relation that does not occur in train.
    symmetric, inverse, duplicate
        Triples that train contains: swapped in the same relation, swapped in a near-inverse one, and in the same order
        in a near-duplicate one; 0 for train itself.
    """

    triples: int
    duplicates: int
    unseen_entities: int
    unseen_relations: int
    with_unseen: int
    symmetric: int = 0
    inverse: int = 0
    duplicate: int = 0


@dataclass(frozen=True)
class Validation:
    """The result of `validate`.

    Attributes
    ----------
    name, checksum, entities, relations
        Name, checksum and counts of the graph.
    splits
        The counts of train, valid and test.
    shared
        The number of distinct triples that two splits have in common, by "train/valid" and so on.
    related
        Pairs of relations with nearly the same entity pairs, by label.
    cardinality
        The number of relations in each cardinality class.
    near_equal
        Groups of labels that differ only in blanks, quotes, case or Unicode form.
    problems
        Sentences; empty if there is no problem.
    """

    name: str
    checksum: str
    entities: int
    relations: int
    splits: dict[str, SplitReport]
    shared: dict[str, int]
    related: list[dict[str, str | float]]
    cardinality: dict[str, int]
    near_equal: list[NearEqual]
    problems: list[str]

    def as_dict(self) -> dict[str, object]:
        """As plain dictionaries, for JSON."""
        return asdict(self)


def validate(graph: TripleSet, threshold: float = THRESHOLD) -> Validation:
    """Validate a graph for link prediction.

    Parameters
    ----------
    graph
        The graph.
    threshold
        Fraction of common entity pairs from which two relations count as near-inverse or near-duplicate.

    Returns
    -------
    Validation
        Counts, related relations and problems.
    """
    parts = {name: getattr(graph, name) for name in SPLITS}
    everything = np.concatenate(list(parts.values()))
    pairs = related_relations(everything, threshold)
    splits = {name: _split_report(triples, graph.train) for name, triples in parts.items()}
    for name in ("valid", "test"):
        splits[name] = replace(splits[name], **count_leaks(parts[name], graph.train, pairs))
    shared = {
        f"{one}/{two}": int(KnownAnswers(parts[one]).contains(*distinct_triples(parts[two]).T).sum())
        for one, two in combinations(SPLITS, 2)
    }
    alike = near_equal(graph.entities, graph.relations)
    kinds, numbers = np.unique(classes(everything, graph.num_relations), return_counts=True)
    return Validation(
        name=graph.name,
        checksum=graph.checksum,
        entities=graph.num_entities,
        relations=graph.num_relations,
        splits=splits,
        shared=shared,
        related=[_named(pair, graph) for pair in pairs],
        cardinality=dict(zip(kinds.tolist(), numbers.tolist(), strict=True)),
        near_equal=alike,
        problems=_problems(splits, shared) + sentences([group for group in alike if group.merges]),
    )


def format_validation(report: Validation) -> str:
    """The validation as a text for the terminal."""
    lines = [
        f"{report.name}: {report.entities:,} entities, {report.relations:,} relations",
        report.checksum,
        "",
    ]
    lines.append(f"{'':8}" + "".join(f"{column:>{WIDTH}}" for column in COLUMNS))
    for name, part in report.splits.items():
        numbers = (
            part.triples,
            part.duplicates,
            part.unseen_entities,
            part.unseen_relations,
            part.with_unseen,
        )
        lines.append(f"{name:8}" + "".join(f"{number:>{WIDTH},}" for number in numbers))
    lines += [
        "",
        "triples in two splits: " + ", ".join(f"{name} {number:,}" for name, number in report.shared.items()),
    ]
    for name in ("valid", "test"):
        part = report.splits[name]
        lines.append(
            f"{name}: train contains {part.symmetric:,} of its triples with head and tail swapped, {part.inverse:,} "
            f"in a near-inverse relation, {part.duplicate:,} in a near-duplicate relation"
        )
    lines.append("cardinality: " + ", ".join(f"{kind} {number}" for kind, number in report.cardinality.items()))
    lines += sentences([group for group in report.near_equal if not group.merges])
    if report.related:
        lines += [
            "",
            "relations with nearly the same pairs of entities:",
            *map(_pair_line, report.related[:LISTED]),
        ]
    if len(report.related) > LISTED:
        lines.append(f"  and {len(report.related) - LISTED} more; --json lists all")
    lines += ["", *(f"PROBLEM: {problem}" for problem in report.problems)]
    return "\n".join(lines if report.problems else [*lines, "no problem found"])


def _pair_line(pair: dict[str, str | float]) -> str:
    second = "" if pair["kind"] == "symmetric" else f" | {pair['second']}"
    return f"  {pair['overlap']:4.0%} {pair['kind']:9} {pair['first']}{second}"


def _split_report(triples: Ids, train: Ids) -> SplitReport:
    new_entity, new_relation = ~np.isin(triples[:, ::2], train[:, ::2]), ~np.isin(triples[:, 1], train[:, 1])
    return SplitReport(
        triples=len(triples),
        duplicates=len(triples) - len(distinct_triples(triples)),
        unseen_entities=len(np.unique(triples[:, ::2][new_entity])),
        unseen_relations=len(np.unique(triples[new_relation, 1])),
        with_unseen=int((new_entity.any(axis=1) | new_relation).sum()),
    )


def _named(pair: RelatedPair, graph: TripleSet) -> dict[str, str | float]:
    first, second = graph.relation_label(pair.first), graph.relation_label(pair.second)
    return {"first": first, "second": second, "kind": pair.kind, "overlap": pair.overlap}


def _problems(splits: dict[str, SplitReport], shared: dict[str, int]) -> list[str]:
    found = []
    for name, part in splits.items():
        if part.duplicates:
            found.append(f"{name} contains {part.duplicates:,} repeated triples; remove the repetitions.")
        if part.unseen_relations:
            found.append(
                f"{name} contains {part.unseen_relations:,} relations that are not in train; "
                "add triples of them to train."
            )
        for kind in ("inverse", "duplicate"):
            number = getattr(part, kind)
            if number > MAX_LEAK * part.triples:
                found.append(
                    f"{number / part.triples:.1%} of {name} can be copied from train through near-{kind} "
                    "relations; drop one relation of each such pair, or split by entity pairs."
                )
    for names, number in shared.items():
        if number:
            found.append(f"{number:,} triples are in both {names.replace('/', ' and ')}; keep each in one.")
    return found
