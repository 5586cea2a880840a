"""An explanation of an answer: what it consists of, how it prints, and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kge_data.printing import one_line
from kge_data.tripleset import TripleSet
from mulde.kge.inference.results import Answer
from mulde.report.tables import html_table, shorten, table

Names = tuple[str, str, str]
"""Head, relation and tail by identifier."""
CONFIDENCES = (
    "confidence: of the pairs that a body connects, the share with the fact in train; PCA confidence: only of pairs "
    "(x, y) where x has some answer of the relation. Neither is a probability."
)


@dataclass(frozen=True)
class Direction:
    """The score of a fact as an answer to one of its two queries."""

    query: str
    """In readable names."""
    embeddings: float
    """Score of the embeddings only."""
    graph_prior: float
    """What the graph prior adds."""
    score: float | None
    """Sum of both; None if the answer is masked, because the relation has no self-loop in train."""
    rank: int
    """Position among all entities, known answers included."""
    filtered_rank: int
    """Position without the other known answers."""


@dataclass(frozen=True)
class Reason:
    """A rule that predicts the fact."""

    rule: str
    """In readable names."""
    support: int
    pairs: int
    """Pairs that the body connects."""
    confidence: float
    pca_confidence: float
    sampled: bool
    """Whether the counts are those of a sample."""
    paths: list[list[Names]]
    """Training facts of some paths; none contains the fact."""


@dataclass(frozen=True)
class Near:
    """A training fact with an entity that is near one of the explained fact."""

    fact: Names
    distance: float
    """Distance of the two entities, as `mulde predict --neighbors` lists it."""


@dataclass(frozen=True)
class Explanation:
    """Why a model gives an answer."""

    fact: Names
    known_in: str | None
    """First split that contains it; None for a new fact."""
    probability: float | None
    """Calibrated probability, by the embeddings only; None without a calibration."""
    directions: list[Direction]
    """Of the tail, then of the head."""
    rules: list[Reason]
    """The strongest rules that predict it."""
    similar_heads: list[Near]
    """Training facts with the same relation and tail, the nearest heads first."""
    similar_tails: list[Near]
    """Training facts with the same head and relation, the nearest tails first."""
    remarks: list[str]
    """Why there are no rules, and other remarks."""
    graph: TripleSet = field(repr=False, compare=False)

    def facts(self) -> list[Names]:
        """The training facts that the explanation names, each once, without the fact itself."""
        of_rules = [fact for reason in self.rules for path in reason.paths for fact in path]
        near = [each.fact for each in [*self.similar_heads, *self.similar_tails]]
        return [fact for fact in dict.fromkeys([*of_rules, *near]) if fact != self.fact]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; names are identifiers but for rules and queries."""
        found = asdict(replace(self, graph=None))  # type: ignore[arg-type]  # a graph has thousands of names
        del found["graph"]
        return found

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        near = [*self.similar_heads, *self.similar_tails]
        parts = [html_table(_rows(self.directions), self.title)]
        parts += [html_table([_rule_row(self.graph, each) for each in self.rules], "rules that predict it")]
        return "".join([*parts, html_table([_near_row(self.graph, each) for each in near], "nearest training facts")])

    @property
    def title(self) -> str:
        """The fact in readable names."""
        return fact_text(self.graph, self.fact)

    def text(self) -> str:
        """The whole explanation as text."""
        lines = [self.title, f"known in {self.known_in}" if self.known_in else "new: the graph does not contain it"]
        if self.probability is not None:
            base = "assuming the base rate of the calibration set"
            lines.append(f"probability {self.probability:.3f}, by the embeddings only, {base}")
        blocks = ["\n".join([*lines, *self.remarks]), table(_rows(self.directions))]
        if self.rules:
            rules = "\n".join(reason_text(self.graph, each) for each in self.rules)
            blocks.append(f"rules that predict it\n{rules}\n{CONFIDENCES}")
        if near := [*self.similar_heads, *self.similar_tails]:
            blocks.append(f"nearest training facts\n{table([_near_row(self.graph, each) for each in near])}")
        return "\n\n".join(blocks)


def reason_text(graph: TripleSet, reason: Reason) -> str:
    """A rule with its counts and paths as lines."""
    sample = ", in a sample" if reason.sampled else ""
    counts = (
        f"confidence {reason.confidence:.3f} ({reason.support:,} of {reason.pairs:,} pairs{sample}), "
        f"PCA confidence {reason.pca_confidence:.3f}"
    )
    return "\n".join([one_line(reason.rule), f"    {counts}", *(f"    {path_text(graph, it)}" for it in reason.paths)])


def reasons_text(graph: TripleSet, answers: Sequence[Answer], reasons: Sequence[Reason | None]) -> str:
    """The strongest rule of each answer as lines."""
    parts = [
        f"{answer.rank} {shorten(answer.label)}\n{'no rule predicts it' if each is None else reason_text(graph, each)}"
        for answer, each in zip(answers, reasons, strict=True)
    ]
    return "\n".join([*parts, CONFIDENCES])


def path_text(graph: TripleSet, path: Sequence[Names]) -> str:
    """The facts of a path in readable names."""
    return ", ".join(fact_text(graph, fact) for fact in path)


def fact_text(graph: TripleSet, fact: Names) -> str:
    """A fact in readable names."""
    head, relation, tail = fact
    names = graph.entity_label(graph.entity_id(head)), graph.relation_label(graph.relation_id(relation))
    return one_line(f"({', '.join([*names, graph.entity_label(graph.entity_id(tail))])})")


def _rows(directions: Sequence[Direction]) -> list[dict[str, Any]]:
    return [
        {
            "query": each.query,
            "embeddings": each.embeddings,
            "graph prior": each.graph_prior,
            "score": "masked" if each.score is None else each.score,
            "rank": each.rank,
            "rank without known answers": each.filtered_rank,
        }
        for each in directions
    ]


def _rule_row(graph: TripleSet, reason: Reason) -> dict[str, Any]:
    row = asdict(reason)
    return {**row, "paths": "; ".join(path_text(graph, path) for path in reason.paths)}


def _near_row(graph: TripleSet, near: Near) -> dict[str, Any]:
    return {"distance": near.distance, "fact": fact_text(graph, near.fact)}
