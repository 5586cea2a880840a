"""Ask a trained model: for tails, heads, relations, neighbours, scores; one question, or a file of millions.

Examples:
    mulde predict runs/umls/run/junior --head virus --relation causes
    mulde predict umls-8 --relation causes --tail virus --exclude-known
    mulde predict runs/umls/run/junior --head virus --tail human
    mulde predict runs/umls/run/junior --neighbors virus
    mulde predict runs/umls/run/junior --queries questions.csv --out answers.csv
    mulde predict --model umls-8 --head virus --relation causes

In a file, a row is a triple with the part that is asked for left empty (or "?"); a whole triple asks for its score.
The first line names the columns: head, relation, tail, or the single column entity, which asks for the nearest ones.
CSV, TSV or Parquet. A row with an unknown name has its reason in the column error, the others are answered. The same
command continues after an interruption, with the same result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kge_data.tripleset import TripleSet
from mulde.cli._output import announce, show
from mulde.config.command_line import Positional, parse
from mulde.engine import process
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import open_calibration
from mulde.kge.inference.query import neighbours, predict, question, score
from mulde.kge.inference.top_k import middle_curvature
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import describe, graph_of, open_model
from mulde.report.tables import answers_table, neighbours_table


@dataclass(frozen=True)
class Config:
    """What to ask."""

    model: Positional[Path]
    """Run folder of the model, a bundle (`mulde pack`), or a name of `mulde list models`."""
    head: str | None = None
    """Head, by identifier or readable name. Of head, relation and tail, the one left out is the question; all three
    ask for the score of the triple."""
    relation: str | None = None
    """Relation, by identifier or readable name."""
    tail: str | None = None
    """Tail, by identifier or readable name."""
    neighbors: str | None = None
    """An entity whose neighbours are sought, by hyperbolic distance in hyperbolic models."""
    curvature: float | None = None
    """Curvature at which neighbours are sought; by default the median of the model's relations."""
    queries: Path | None = None
    """File of questions."""
    out: Path | None = None
    """Where the answers to --queries go: .csv, .tsv or .parquet."""
    top: int = 10
    """Number of answers."""
    exclude_known: bool = False
    """Leave out answers that the graph already contains."""
    labels: bool = False
    """Write readable names into --out in place of identifiers."""
    chunk: int = 1 << 15
    """Questions of a file that are answered, and kept, at a time."""
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
    triple = [part for part in (settings.head, settings.relation, settings.tail) if part is not None]
    if (len(triple) >= 2) + (settings.neighbors is not None) + (settings.queries is not None) != 1 or len(triple) == 1:
        raise UsageError(
            "predict needs two of --head, --relation and --tail (the third is the question), or all three (their "
            "score), or --neighbors ENTITY, or --queries FILE"
        )
    if (settings.queries is None) != (settings.out is None):
        raise UsageError("--queries FILE and --out FILE belong together; give both")
    for name in ("top", "chunk"):
        if getattr(settings, name) < 1:
            raise UsageError(f"--{name} must be at least 1; got {getattr(settings, name)}")
    if settings.curvature is not None and not settings.curvature > 0:
        raise UsageError(f"--curvature must be positive; got {settings.curvature}")
    process.start(settings.threads)
    graph = graph_of(settings.model, settings.data)
    if settings.queries is not None:
        return _file(settings, graph)
    title = "" if len(triple) != 2 else question(graph, settings.relation, settings.head, settings.tail)
    for entity in (settings.neighbors, settings.head, settings.tail):  # unknown names are told at once
        if entity is not None:
            graph.entity_id(entity)
    model = open_model(settings.model, graph).to(settings.device)
    if settings.neighbors is not None:
        return _neighbours(settings, model, graph, settings.neighbors)
    if len(triple) == 3:
        return _score(settings, model, graph)
    answers = predict(
        model,
        graph,
        relation=settings.relation,
        head=settings.head,
        tail=settings.tail,
        top=settings.top,
        new=settings.exclude_known,
    )
    result = {"query": title, "answers": [asdict(answer) for answer in answers]}
    return show(result, f"{title}\n{answers_table(answers)}", settings.json)


def _score(settings: Config, model: KGEModel, graph: TripleSet) -> int:
    head, relation, tail = settings.head or "", settings.relation or "", settings.tail or ""
    calibration = open_calibration(settings.model, describe(settings.model)["weights"], graph.num_relations)
    found = score(model, graph, head=head, relation=relation, tail=tail, calibration=calibration)
    names = (graph.entity_label(graph.entity_id(name)) for name in (head, tail))
    title = f"({next(names)}, {graph.relation_label(graph.relation_id(relation))}, {next(names)})"
    lines = [
        title,
        f"score {found.score:.4f}, the mean of its two readings; its tail is number {found.rank:,} of "
        f"{graph.num_entities:,} answers",
        f"known in {found.known_in}" if found.known_in else "new: the graph does not contain it",
    ]
    if found.probability is not None:
        lines.append(
            f"probability {found.probability:.3f}, among triples of which as many are true as were when fitted"
        )
    return show({"triple": title, **asdict(found)}, "\n".join(lines), settings.json)


def _neighbours(settings: Config, model: KGEModel, graph: TripleSet, entity: str) -> int:
    found = neighbours(model, graph, entity, top=settings.top, curvature=settings.curvature)
    curvature = middle_curvature(model) if settings.curvature is None else settings.curvature
    if not model.scorer.hyperbolic():
        distance, curvature = "Euclidean distance", None
    else:
        which = "the median of its relations" if settings.curvature is None else "as asked"
        distance = f"hyperbolic distance at curvature {curvature:.4g} ({which})"
    title = f"nearest to {graph.entity_label(graph.entity_id(entity))}, {distance}"
    result = {"entity": entity, "distance": distance, "curvature": curvature, "nearest": [asdict(it) for it in found]}
    return show(result, f"{title}\n{neighbours_table(found)}", settings.json)


def _file(settings: Config, graph: TripleSet) -> int:
    from mulde.kge.inference.answer import Settings
    from mulde.kge.inference.batch import answer_file

    assert settings.queries is not None and settings.out is not None
    model = open_model(settings.model, graph).to(settings.device)
    calibration = open_calibration(settings.model, describe(settings.model)["weights"], graph.num_relations)
    how = Settings(settings.top, settings.exclude_known, settings.labels, settings.curvature, settings.chunk)
    began = time.monotonic()
    tally = answer_file(model, graph, settings.queries, settings.out, how, calibration)
    taken = time.monotonic() - began
    if tally.refused:
        plural = "s" * (tally.refused != 1)
        announce(
            f"{tally.refused:,} question{plural} could not be answered; the column error of {settings.out} says why"
        )
    text = (
        f"{tally.questions:,} questions, {tally.answers:,} answers in {settings.out} "
        f"({taken:.1f} s, {tally.questions / max(taken, 1e-9):,.0f} questions/s)"
    )
    return show({**asdict(tally), "out": str(settings.out), "seconds": taken}, text, settings.json)
