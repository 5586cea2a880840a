"""Predict tails, heads, relations, neighbours or scores of triples.

Examples:
    mulde predict runs/umls/junior --head virus --relation causes
    mulde predict umls-8 --relation causes --tail virus --exclude-known
    mulde predict runs/umls/junior --head virus --tail human
    mulde predict umls-8 --head virus --relation causes --why
    mulde predict runs/umls/junior --neighbors virus
    mulde predict umls-8 --head virus --relation causes --typed
    mulde predict umls-8 --head virus --relation causes --coverage 0.9
    mulde predict runs/umls/junior --queries queries.csv --out answers.csv
    mulde predict umls-onnx.zip --head virus --relation causes

Ranks and scores are those of the complete model: embeddings, self-loop mask and graph prior; --embeddings-only leaves
out the mask and the prior. The score and rank of a triple are those of its tail as an answer to (head, relation, ?),
and the score of a relation is the mean of the scores in both directions.

Probabilities have a column of their own and always use the embeddings only. They are calibrated on the validation
triples, of which at least 50 are needed. A run folder is calibrated at the first prediction, and the result is kept in
calibration.json. In a list of heads or tails, a probability is that of being in a held-out split, where the query has
an answer there: true ones are rare among the candidates. Those of relations and of whole triples assume as many true as
false triples.

A set (--coverage) holds the right answer with the given coverage, on average over triples drawn like those of
validation. It is calibrated on half of validation, and known answers in train are no candidates.

A file of queries is CSV, TSV or Parquet. Each row is a triple. A part that is empty or "?" is predicted; a complete
triple is scored. The first line has the column names: head, relation and tail, or only entity for queries of
neighbours. Rows with an unknown name have a message in the column error. To resume an interrupted prediction, repeat
the command.

A bundle of `mulde export --to onnx` needs only numpy and onnxruntime, and predicts all but neighbours.

A student of an image method has other options: `mulde predict RUN --help` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mulde.cli._answers import Source, print_answers, print_explanation, print_file, print_neighbours, print_score
from mulde.cli._candidates import Restriction
from mulde.cli._output import announce
from mulde.config import Count, Fraction, Positive, Size, Threads
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError

FIRST = ("model", "head", "relation", "tail", "neighbors", "queries", "out", "top", "exclude_known", "json")


@dataclass(frozen=True)
class Config:
    """What to predict."""

    model: Positional[Path]
    """Run folder, bundle (`mulde pack`, `mulde export --to onnx`), or name of a pretrained model (`mulde list
    models`)."""
    head: str | None = None
    """Head, by identifier or readable name. Of head, relation and tail, the missing one is predicted; if all three are
    given, the triple is scored."""
    relation: str | None = None
    """Relation, by identifier or readable name."""
    tail: str | None = None
    """Tail, by identifier or readable name."""
    neighbors: str | None = None
    """Entity whose neighbours are listed, by hyperbolic distance in hyperbolic models."""
    curvature: Positive | None = None
    """Curvature for neighbours; by default the median of the model's relations."""
    queries: Path | None = None
    """File of queries."""
    columns: str | None = None
    """Columns of --queries with head, relation and tail: names or positions from 1, such as from,kind,to; leave the
    name of a missing column empty (from,kind,). By default, columns are found by their names."""
    out: Path | None = None
    """File for the answers to --queries: .csv, .tsv or .parquet."""
    top: Count = 10
    """Number of answers."""
    exclude_known: bool = False
    """Leave out answers that the graph already contains."""
    embeddings_only: bool = False
    """Rank and score without self-loop mask and graph prior."""
    probability: bool = True
    """Show calibrated probabilities of answers and triples."""
    why: bool = False
    """Show with each answer the strongest rule that predicts it, and a path; of a triple, the output of `mulde
    explain`."""
    coverage: Fraction | None = None
    """Predict a set of heads or tails that contains the right one with this coverage, at most 0.99; its size is printed
    first, then the first --top of them. It is calibrated on half of validation and kept in coverage.json."""
    labels: bool = False
    """Write readable names into --out in place of identifiers."""
    add: str | None = None
    """Another source that was not trained on this graph, ultra:PATH, whose log-probabilities are added to the model's
    for heads and tails. `mulde evaluate --add` fits its weight; otherwise the weight is 1."""
    chunk: Count = 1 << 15
    """Number of queries of a file that are answered and written at a time."""
    dim: Size | None = None
    """One of the sizes of a model that was trained with --dims; by default the largest."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: Threads | None = None
    """Processor threads. Default: all; one for graphs with fewer than 10,000 entities."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print the result as JSON."""
    restriction: Restriction = field(default_factory=Restriction)


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde predict", __doc__ or "", first=FIRST)
    given = _check(settings)
    from mulde.kge.inference.onnx_runtime import is_onnx

    if is_onnx(settings.model):
        return _print(settings, _onnx(settings), given)
    return _with_torch(settings, given)


def _print(settings: Config, source: Source, given: int) -> int:
    source = source.restricted(settings.restriction, settings.model)
    if settings.queries is not None and settings.out is not None:
        return print_file(settings, source, settings.queries, settings.out)
    if settings.neighbors is not None:
        return print_neighbours(settings, source, settings.neighbors)
    if given != 3:
        return print_answers(settings, source)
    return print_explanation(settings, source) if settings.why else print_score(settings, source)


def _onnx(settings: Config) -> Source:
    """An exported model; imports no torch."""
    from mulde.kge.inference.onnx_runtime import OnnxScorer

    for option, given in (
        ("data", settings.data),
        ("dim", settings.dim),
        ("neighbors", settings.neighbors),
        ("curvature", settings.curvature),
        ("add", settings.add),
        ("why", settings.why or None),
        ("coverage", settings.coverage),
    ):
        if given is not None:
            raise UsageError(
                f"--{option} needs the original model; an ONNX bundle has its own graph, one size and no vectors"
            )
    if settings.device not in ("auto", "cpu"):
        raise UsageError(f"--device {settings.device}: an ONNX bundle runs on the CPU; leave --device out")
    scorer = OnnxScorer(settings.model, settings.threads or 1)
    return Source(scorer, scorer.graph, scorer.calibration)


def _with_torch(settings: Config, given: int) -> int:
    """Predict with the model of a run folder or a bundle."""
    from mulde.cli._model import chosen
    from mulde.kge.inference.probability import calibration_of
    from mulde.kge.inference.query import query_text
    from mulde.kge.storage.description import describe
    from mulde.kge.storage.graph import graph_of, refuse_no_triples

    settings = replace(settings, model=chosen(settings.model))
    description, graph = describe(settings.model), graph_of(settings.model, settings.data, announce)
    for option, wanted in (("--exclude-known", settings.exclude_known), ("--why", settings.why)):
        if wanted:
            refuse_no_triples(settings.model, graph, option)
    if settings.queries is None:  # unknown names are reported before the model is read
        for entity in (settings.neighbors, settings.head, settings.tail):
            if entity is not None:
                graph.entity_id(entity)
        if given == 2:
            query_text(graph, settings.relation, settings.head, settings.tail)
    from mulde.cli._process import computing  # from here on with torch
    from mulde.kge.storage.run_folder import open_model

    with computing(graph, settings.device, settings.threads) as device:
        model = open_model(settings.model, graph, dim=settings.dim).to(device)
        if settings.coverage is not None:
            from mulde.cli._answer_set import print_set

            return print_set(settings, settings.coverage, model, graph, description)
        fitted = partial(calibration_of, settings.model, model, graph, description, announce)
        if settings.add is not None:
            from mulde.cli._added import added_predictor

            predictor = added_predictor(settings.add, settings.model, model, graph, settings.embeddings_only)
            return _print(settings, Source(predictor, graph, lambda: None), given)
        return _print(settings, Source(model, graph, fitted), given)


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
    if settings.add is not None and (settings.neighbors is not None or (settings.head and settings.tail)):
        raise UsageError("--add is for predicting heads and tails; leave it out for relations, triples and neighbours")
    if settings.why and (settings.neighbors is not None or settings.queries is not None or settings.add is not None):
        raise UsageError("--why is for one query or triple of one model; leave out --queries, --neighbors and --add")
    if settings.coverage is not None:
        from mulde.kge.evaluation.coverage import level_of

        level_of(settings.coverage)
        if given != 2 or settings.relation is None:
            raise UsageError("--coverage is for predicting heads or tails; give --relation, and --head or --tail")
        if (
            settings.exclude_known
            or settings.embeddings_only
            or settings.add
            or settings.why
            or settings.restriction.given()
        ):
            raise UsageError(
                "--coverage ranks all entities but the known answers in train, by the complete model; leave out "
                "--exclude-known, --embeddings-only, --add, --why, --candidates, --type and --typed"
            )
    if settings.restriction.given() and (settings.neighbors is not None or (settings.head and settings.tail)):
        raise UsageError(
            "--candidates, --type, --types and --typed are for predicting heads and tails; leave them out for "
            "relations, triples and neighbours"
        )
    return given
