"""Answer a query with a trained model: the best tails of (head, relation, ?) or the best heads of (?, relation, tail).

    mulde predict runs/umls/junior-roth-32 --head virus --relation causes --top 10
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kge_data
from mulde import config
from mulde.cli._output import model_first, show
from mulde.errors import UsageError
from mulde.kge.prediction import predict
from mulde.kge.saved import describe, open_model
from mulde.report import table


@dataclass(frozen=True)
class Config:
    """What to ask."""

    model: Path
    """Run folder of the model; may also be given as the first word."""
    relation: str
    """Relation, by identifier or readable name."""
    head: str | None = None
    """Head, by identifier or readable name; the answer is a list of tails."""
    tail: str | None = None
    """Tail, by identifier or readable name; the answer is a list of heads."""
    top: int = 10
    """Number of answers."""
    new: bool = False
    """Leave out answers that the graph already contains."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = config.parse(Config, model_first(argv), "mulde predict", __doc__ or "")
    if (settings.head is None) == (settings.tail is None):
        raise UsageError("predict needs exactly one of --head and --tail; the other one is the question")
    if settings.top < 1:
        raise UsageError(f"--top must be at least 1; got {settings.top}")
    graph = kge_data.load(settings.data or describe(settings.model)["data"]["source"])
    model = open_model(settings.model, graph)
    answers = predict(
        model, graph, relation=settings.relation, head=settings.head, tail=settings.tail, top=settings.top, new=settings.new
    )
    rows = [{"rank": answer.rank, "answer": answer.label, "id": answer.identifier, "score": answer.score, "known": answer.known_in or "new"} for answer in answers]
    relation = graph.relation_label(graph.relation_id(settings.relation))
    asked = settings.head or settings.tail
    label = graph.entity_label(graph.entity_id(asked or ""))
    question = f"({label}, {relation}, ?)" if settings.head else f"(?, {relation}, {label})"
    if all(row["answer"] == row["id"] for row in rows):
        rows = [{key: value for key, value in row.items() if key != "id"} for row in rows]
    return show({"query": question, "answers": rows}, f"{question}\n{table(rows)}", settings.json)
