"""Predict tails, heads, relations, neighbours or scores of triples.

Examples:
    mulde predict runs/umls/junior --head virus --relation causes
    mulde predict umls-8 --relation causes --tail virus --exclude-known
    mulde predict runs/umls/junior --head virus --tail human
    mulde predict runs/umls/junior --neighbors virus
    mulde predict runs/umls/junior --queries queries.csv --out answers.csv
    mulde predict --model umls-8 --head virus --relation causes

A file of queries is CSV, TSV or Parquet. Each row is a triple; a part that is empty or "?" is predicted, and a complete
triple is scored. The first line has the column names: head, relation and tail, or only entity for queries of
neighbours. Rows with an unknown name have a message in the column error. To resume an interrupted prediction, repeat
the command.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mulde.cli._output import announce, show
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.kge.evaluation.calibration import Calibration
    from mulde.kge.model.kge_model import KGEModel

FIRST = ("model", "head", "relation", "tail", "neighbors", "queries", "out", "top", "exclude_known", "json")


@dataclass(frozen=True)
class Config:
    """What to predict."""

    model: Positional[Path]
    """Run folder, bundle (`mulde pack`), or name of a pretrained model (`mulde list models`)."""
    head: str | None = None
    """Head, by identifier or readable name. Of head, relation and tail, the missing one is predicted; if all three are
    given, the triple is scored."""
    relation: str | None = None
    """Relation, by identifier or readable name."""
    tail: str | None = None
    """Tail, by identifier or readable name."""
    neighbors: str | None = None
    """Entity whose neighbours are listed, by hyperbolic distance in hyperbolic models."""
    curvature: float | None = None
    """Curvature for neighbours; by default the median of the model's relations."""
    queries: Path | None = None
    """File of queries."""
    columns: str | None = None
    """Columns of --queries with head, relation and tail: names or positions from 1, such as from,kind,to; leave a part
    empty that the file does not have (from,kind,). By default, columns are found by their names."""
    out: Path | None = None
    """File for the answers to --queries: .csv, .tsv or .parquet."""
    top: int = 10
    """Number of answers."""
    exclude_known: bool = False
    """Leave out answers that the graph already contains."""
    labels: bool = False
    """Write readable names into --out in place of identifiers."""
    chunk: int = 1 << 15
    """Number of queries of a file that are answered and written at a time."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: int | None = None
    """Processor threads; by default all."""
    device: str = "cpu"
    """Device: cpu, cuda, cuda:1."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde predict", __doc__ or "", first=FIRST)
    given = _check(settings)
    from mulde.engine import process
    from mulde.kge.inference.query import predict, query_text
    from mulde.kge.storage.run_folder import graph_of, open_model

    process.start(settings.threads)
    graph = graph_of(settings.model, settings.data)
    if settings.queries is None:  # unknown names are reported before the model is read
        for entity in (settings.neighbors, settings.head, settings.tail):
            if entity is not None:
                graph.entity_id(entity)
        if given == 2:
            query_text(graph, settings.relation, settings.head, settings.tail)
    model = open_model(settings.model, graph).to(settings.device)
    if settings.queries is not None and settings.out is not None:
        return _file(settings, model, graph, settings.queries, settings.out)
    if settings.neighbors is not None:
        return _neighbours(settings, model, graph, settings.neighbors)
    if given == 3:
        return _score(settings, model, graph)
    answers = predict(
        model,
        graph,
        relation=settings.relation,
        head=settings.head,
        tail=settings.tail,
        top=settings.top,
        exclude_known=settings.exclude_known,
    )
    result = {"query": answers.query, "answers": [asdict(answer) for answer in answers]}
    return show(result, str(answers), settings.json)


def _check(settings: Config) -> int:
    """How many of head, relation and tail are given. Raises UsageError for options that do not fit together."""
    given = sum(part is not None for part in (settings.head, settings.relation, settings.tail))
    if (given >= 2) + (settings.neighbors is not None) + (settings.queries is not None) != 1 or given == 1:
        raise UsageError(
            "predict needs two of --head, --relation and --tail (the third is predicted), or all three (the triple is "
            "scored), or --neighbors ENTITY, or --queries FILE"
        )
    if (settings.queries is None) != (settings.out is None):
        raise UsageError("--queries FILE and --out FILE belong together; give both")
    if settings.columns is not None and settings.queries is None:
        raise UsageError("--columns belongs to --queries FILE; give both")
    for name in ("top", "chunk"):
        if getattr(settings, name) < 1:
            raise UsageError(f"--{name} must be at least 1; got {getattr(settings, name)}")
    if settings.curvature is not None and not settings.curvature > 0:
        raise UsageError(f"--curvature must be positive; got {settings.curvature}")
    return given


def _score(settings: Config, model: KGEModel, graph: TripleSet) -> int:
    from mulde.kge.inference.query import score

    head, relation, tail = settings.head or "", settings.relation or "", settings.tail or ""
    calibration = _calibration(settings, graph)
    found = score(model, graph, head=head, relation=relation, tail=tail, calibration=calibration)
    names = (graph.entity_label(graph.entity_id(name)) for name in (head, tail))
    title = f"({next(names)}, {graph.relation_label(graph.relation_id(relation))}, {next(names)})"
    lines = [
        title,
        f"score {found.score:.4f}, the mean of both directions; the tail has rank {found.rank:,} of "
        f"{graph.num_entities:,} answers",
        f"known in {found.known_in}" if found.known_in else "new: the graph does not contain it",
    ]
    if found.probability is not None:
        lines.append(f"probability {found.probability:.3f}, assuming the base rate of the calibration set")
    return show({"triple": title, **asdict(found)}, "\n".join(lines), settings.json)


def _neighbours(settings: Config, model: KGEModel, graph: TripleSet, entity: str) -> int:
    from mulde.kge.inference.query import neighbours
    from mulde.kge.inference.top_k import middle_curvature

    found = neighbours(model, graph, entity, top=settings.top, curvature=settings.curvature)
    curvature = middle_curvature(model) if settings.curvature is None else settings.curvature
    if not model.scorer.hyperbolic():
        distance, curvature = "Euclidean distance", None
    else:
        source = "the median of its relations" if settings.curvature is None else "as given"
        distance = f"hyperbolic distance at curvature {curvature:.4g} ({source})"
    title = f"nearest to {found.entity}, {distance}"
    result = {"entity": entity, "distance": distance, "curvature": curvature, "nearest": [asdict(it) for it in found]}
    return show(result, f"{title}\n{found.table()}", settings.json)


def _file(settings: Config, model: KGEModel, graph: TripleSet, queries: Path, out: Path) -> int:
    from mulde.kge.inference.answer import Settings
    from mulde.kge.inference.batch import answer_file

    how = Settings(
        settings.top, settings.exclude_known, settings.labels, settings.curvature, settings.chunk, settings.columns
    )
    began = time.monotonic()
    tally = answer_file(model, graph, queries, out, how, _calibration(settings, graph))
    seconds = time.monotonic() - began
    if tally.refused:
        noun = "query" if tally.refused == 1 else "queries"
        announce(f"{tally.refused:,} {noun} could not be answered; see the column error of {out}")
    text = (
        f"{tally.queries:,} queries, {tally.answers:,} answers in {out} "
        f"({seconds:.1f} s, {tally.queries / max(seconds, 1e-9):,.0f} queries/s)"
    )
    return show({**asdict(tally), "out": str(out), "seconds": seconds}, text, settings.json)


def _calibration(settings: Config, graph: TripleSet) -> Calibration | None:
    from mulde.kge.evaluation.calibration import open_calibration
    from mulde.kge.storage.run_folder import describe

    return open_calibration(settings.model, describe(settings.model)["weights"], graph.num_relations)
