"""Is a graph fit for link prediction? What to know before training on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

from kge_data.analysis.cardinality import classes
from kge_data.analysis.leaks import THRESHOLD, RelatedPair, given_away, related_relations
from kge_data.filters import KnownAnswers
from kge_data.keys import Ids, distinct_triples
from kge_data.tripleset import SPLITS, TripleSet

LEAK_SHARE = 0.01  # above it, answers given away through another relation are a problem
SHOWN = 20  # related pairs in the report for people
COLUMNS = ("triples", "repeated", "new entities", "new relations", "with new ones")
WIDTH = 15


@dataclass(frozen=True)
class SplitReport:
    """One split.

    Attributes:
        triples: as in the file.
        duplicates: triples beyond the first of their kind.
        unseen_entities, unseen_relations: how many different ones do not occur in train.
        with_unseen: triples with an entity or relation that does not occur in train.
        symmetric, inverse, duplicate: triples that train repeats, backwards through the same relation,
            backwards through another, and forwards through another.
    """

    triples: int
    duplicates: int
    unseen_entities: int
    unseen_relations: int
    with_unseen: int
    symmetric: int
    inverse: int
    duplicate: int


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        shared: how many distinct triples two splits have in common, by "train/valid" and so on.
        related: pairs of relations with nearly the same entity pairs, by label.
        cardinality: number of relations in each class.
        problems: sentences; empty for a graph in order.
    """

    name: str
    checksum: str
    entities: int
    relations: int
    splits: dict[str, SplitReport]
    shared: dict[str, int]
    related: list[dict[str, str | float]]
    cardinality: dict[str, int]
    problems: list[str]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def check(graph: TripleSet, threshold: float = THRESHOLD) -> Report:
    """Examine a graph.

    Args:
        threshold: share of common entity pairs from which two relations count as near-inverse or
        near-duplicate.
    """
    parts = {name: getattr(graph, name) for name in SPLITS}
    everything = np.concatenate(list(parts.values()))
    pairs = related_relations(everything, threshold)
    splits = {
        name: _split_report(triples, graph.train, [] if name == "train" else pairs) for name, triples in parts.items()
    }
    shared = {
        f"{one}/{two}": int(KnownAnswers(parts[one]).contains(*distinct_triples(parts[two]).T).sum())
        for one, two in combinations(SPLITS, 2)
    }
    kinds, numbers = np.unique(classes(everything, graph.num_relations), return_counts=True)
    return Report(
        name=graph.name,
        checksum=graph.checksum,
        entities=graph.num_entities,
        relations=graph.num_relations,
        splits=splits,
        shared=shared,
        related=[_named(pair, graph) for pair in pairs],
        cardinality=dict(zip(kinds.tolist(), numbers.tolist(), strict=True)),
        problems=_problems(splits, shared),
    )


def describe(report: Report) -> str:
    """The report for people."""
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
        "in two splits: " + ", ".join(f"{name} {number:,}" for name, number in report.shared.items()),
    ]
    for name in ("valid", "test"):
        part = report.splits[name]
        lines.append(
            f"{name}: of its triples, train has {part.symmetric:,} reversed in the same relation, "
            f"{part.inverse:,} reversed in a near-inverse one, {part.duplicate:,} in a near-duplicate one"
        )
    lines.append("cardinality: " + ", ".join(f"{kind} {number}" for kind, number in report.cardinality.items()))
    if report.related:
        lines += [
            "",
            "relations with nearly the same pairs of entities:",
            *map(_pair_line, report.related[:SHOWN]),
        ]
    if len(report.related) > SHOWN:
        lines.append(f"  and {len(report.related) - SHOWN} more; --json lists all")
    lines += ["", *(f"PROBLEM: {problem}" for problem in report.problems)]
    return "\n".join(lines if report.problems else [*lines, "no problem found"])


def _pair_line(pair: dict[str, str | float]) -> str:
    second = "" if pair["kind"] == "symmetric" else f" | {pair['second']}"
    return f"  {pair['share']:4.0%} {pair['kind']:9} {pair['first']}{second}"


def _split_report(triples: Ids, train: Ids, pairs: list[RelatedPair]) -> SplitReport:
    new_entity, new_relation = ~np.isin(triples[:, ::2], train[:, ::2]), ~np.isin(triples[:, 1], train[:, 1])
    return SplitReport(
        triples=len(triples),
        duplicates=len(triples) - len(distinct_triples(triples)),
        unseen_entities=len(np.unique(triples[:, ::2][new_entity])),
        unseen_relations=len(np.unique(triples[new_relation, 1])),
        with_unseen=int((new_entity.any(axis=1) | new_relation).sum()),
        **given_away(triples, train, pairs),
    )


def _named(pair: RelatedPair, graph: TripleSet) -> dict[str, str | float]:
    first, second = graph.relation_label(pair.first), graph.relation_label(pair.second)
    return {"first": first, "second": second, "kind": pair.kind, "share": pair.share}


def _problems(splits: dict[str, SplitReport], shared: dict[str, int]) -> list[str]:
    found = []
    for name, part in splits.items():
        if part.duplicates:
            found.append(f"{name} holds {part.duplicates:,} triples more than once; remove the repetitions.")
        if part.unseen_relations:
            found.append(f"{name} asks about {part.unseen_relations:,} relations that train does not show.")
        for kind in ("inverse", "duplicate"):
            number = getattr(part, kind)
            if number > LEAK_SHARE * part.triples:
                found.append(
                    f"{number / part.triples:.1%} of {name} can be copied from train through near-{kind} "
                    "relations; drop one relation of each such pair, or split by entity pairs."
                )
    for names, number in shared.items():
        if number:
            found.append(f"{number:,} triples stand in both {names.replace('/', ' and ')}; keep each in one.")
    return found
