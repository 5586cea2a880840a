"""Ask a trained model for the best tails or heads of a query.

Examples:
    mulde predict runs/umls/run/junior --head virus --relation causes
    mulde predict runs/umls/run/junior --relation causes --tail virus --new
    mulde predict --model umls-8 --head virus --relation causes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mulde import process
from mulde.cli._options import Positional, parse
from mulde.cli._output import show
from mulde.errors import UsageError
from mulde.kge.prediction import predict, question
from mulde.kge.saved import graph_of, open_model
from mulde.report import answers_table


@dataclass(frozen=True)
class Config:
    """What to ask."""

    model: Positional[Path]
    """Run folder of the model, a bundle (`mulde pack`), or a name of `mulde list models`."""
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
    threads: int | None = None
    """Processor threads; by default all."""
    device: str = "cpu"
    """Where to compute."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde predict", __doc__ or "")
    if (settings.head is None) == (settings.tail is None):
        raise UsageError("predict needs exactly one of --head and --tail; the other one is the question")
    if settings.top < 1:
        raise UsageError(f"--top must be at least 1; got {settings.top}")
    process.start(settings.threads)
    graph = graph_of(settings.model, settings.data)
    title = question(graph, settings.relation, settings.head, settings.tail)  # tells unknown names at once
    answers = predict(
        open_model(settings.model, graph).to(settings.device),
        graph,
        relation=settings.relation,
        head=settings.head,
        tail=settings.tail,
        top=settings.top,
        new=settings.new,
    )
    result = {"query": title, "answers": [asdict(answer) for answer in answers]}
    return show(result, f"{title}\n{answers_table(answers)}", settings.json)
