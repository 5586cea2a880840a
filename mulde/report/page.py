"""The HTML report: figures and tables of one or several runs in one file with embedded style and drawings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kge_data.tripleset import TripleSet
from mulde.report import disk, learned_parameters, quality, training
from mulde.report.cards import cards, size
from mulde.report.failures import worst_failures
from mulde.report.figure import Figure, Listing
from mulde.report.missing_facts import missing_facts
from mulde.report.quality import by_mrr
from mulde.report.rendering import render
from mulde.report.runs import Run, Stage, foremost
from mulde.report.verdict import verdict

MODELS_NOTE = (
    "Test split, sorted by MRR. Filtered ranks in both directions; ties count half. Metrics are of the embeddings "
    "only, except in the columns “with graph prior”. The graph prior is a per-relation local closed-world prior, "
    "fitted on the validation split: candidates that answer the relation in the training graph get a higher or lower "
    "score. The columns “with graph prior” also mask the query’s own entity for relations without self-loops in "
    "training. Senior and teacher ensemble have no graph prior. The interval is a bootstrap over test triples; it "
    "does not cover other seeds. “ms” is the median time of one query, “ms, p95” the 95th percentile."
)
PROTOCOL = (
    "Every test triple gives two queries, for its tail and for its head. The right answer is ranked among all "
    "entities, without the other answers that are known from any split (filtered). If scores tie, the rank is the "
    "mean of the best and the worst possible one (realistic)."
)


def page(runs: Sequence[Run], graph: TripleSet | None, types: Path | None = None, facts: int = 20) -> str:
    """The report as HTML.

    Parameters
    ----------
    runs, graph
        Runs and their graph, see `mulde.report.runs.open_runs`.
    types
        File of entity types for the colours of the Poincaré disk.
    facts
        Number of likeliest missing facts.

    Raises
    ------
    UsageError
        If Jinja2 is not installed, or the file of types is malformed.
    """
    stages = by_mrr(_distinct([stage for run in runs for stage in run.stages]))
    return render(
        title=_title(runs, stages),
        verdicts=[found for run in runs if (found := verdict(run)) is not None],
        cards=list(cards(runs)),
        intro=_intro(runs, stages, graph),
        models=[_row(stage) for stage in stages],
        models_note=MODELS_NOTE,
        protocol=PROTOCOL,
        distilled=[i for i, stage in enumerate(stages) if stage.role == "junior"],
        listings=list(_listings(foremost(runs), graph, facts)),
        figures=[figure for figure in _figures(runs, stages, graph, types) if figure is not None],
        missing=_missing(runs, stages, graph),
        settings=[(run.name, run.settings) for run in runs if run.settings],
        checksum=next((stage.test["checksum"] for stage in stages if stage.test), None),
    )


def _listings(run: Run | None, graph: TripleSet | None, facts: int) -> Iterator[Listing]:
    """Tables of the recommended model of a run."""
    if run is None or run.main is None:
        return
    for found in (missing_facts(run.main, graph, facts), worst_failures(run.main, graph)):
        if found is not None:
            yield found


def _figures(
    runs: Sequence[Run], stages: Sequence[Stage], graph: TripleSet | None, types: Path | None
) -> Iterator[Figure | None]:
    yield quality.ranking(stages)
    yield quality.frontier(stages, graph)
    yield training.learning(stages)
    for run in runs:
        yield training.losses(run)
    yield quality.by_cardinality(stages)
    yield quality.by_relation(stages, graph)
    for run in runs:
        found = [
            learned_parameters.gates(run, graph),
            learned_parameters.attention(run),
            learned_parameters.curvature(run, graph),
        ]
        if graph is not None:
            found.append(disk.disks(learned_parameters.drawn_stages(run), graph, types))
        for figure in found:
            if figure is not None and len(runs) > 1 and run.name not in figure.title:
                figure.title += f" · {run.name}"
            yield figure


def _distinct(stages: Sequence[Stage]) -> list[Stage]:
    """Stages, without teachers and ensembles whose evaluation equals that of an earlier one."""
    kept: list[Stage] = []
    for stage in stages:
        shared = stage.role in ("teacher", "ensemble") and stage.test is not None
        if not shared or all(stage.test != other.test or stage.role != other.role for other in kept):
            kept.append(stage)
    return kept


def _title(runs: Sequence[Run], stages: Sequence[Stage]) -> str:
    data = next((stage.test["data"] for stage in stages if stage.test), "") or runs[0].name
    if len(runs) > 1:
        return f"{data}: comparison of {len(runs)} runs"
    junior, teachers = runs[0].junior, len(runs[0].teachers)
    if junior is None or junior.dim is None or not teachers:
        return f"{data}: {runs[0].name}"
    count = "one teacher" if teachers == 1 else f"{teachers} teachers"
    return f"{data}: a Junior with {junior.dim} dimensions, distilled from {count}"


def _intro(runs: Sequence[Run], stages: Sequence[Stage], graph: TripleSet | None) -> list[str]:
    """Paragraphs on graph, models and metrics, for readers who did not train the models."""
    paragraphs = []
    if graph is not None:
        paragraphs.append(
            f"The graph {graph.name} has {graph.num_entities:,} entities, {graph.num_relations:,} relations and "
            f"{len(graph.train):,} training triples (head, relation, tail). The models predict the missing entity of "
            "queries such as (head, relation, ?)."
        )
    if distilled := [run for run in runs if run.junior]:
        through = " through a Senior, their trainable combination" if any(run.has_senior for run in distilled) else ""
        paragraphs.append(
            "Teachers are large models trained on the triples. The Junior is a small model trained on the triples and "
            f"on the teachers' scores{through}."
        )
    paragraphs.append(
        "MRR is the mean reciprocal rank: 1 if the right answer is always first, .5 if it is always second. Hits@10 is "
        "the fraction of queries with the right answer among the first ten. All figures are of the test split, which "
        "was not used for training or selection, unless stated otherwise."
    )
    return paragraphs


def _row(stage: Stage) -> dict[str, Any]:
    """A row of the table of models. All metrics are of the embeddings only, but for the columns with graph prior."""
    only, low_high = stage.only, stage.only.get("mrr_interval_95")
    prior = {} if stage.prior_mrr is None or stage.test is None else stage.test["realistic"]
    return {
        "model": stage.name, "dim": stage.dim, "parameters": stage.parameters,
        "size": None if stage.megabytes is None else " ".join(size(stage.megabytes)), "MRR": stage.mrr,
        "95 % interval": None if low_high is None else f"{low_high[0]:.3f} to {low_high[1]:.3f}",
        **{f"Hits@{k}": only.get(f"hits@{k}") for k in (1, 3, 10)},
        "MRR with graph prior": stage.prior_mrr, "Hits@10 with graph prior": prior.get("hits@10"),
        "ms": stage.latency and f"{stage.latency.p50:.3g}", "ms, p95": stage.latency and f"{stage.latency.p95:.3g}",
    }  # fmt: skip


def _missing(runs: Sequence[Run], stages: Sequence[Stage], graph: TripleSet | None) -> list[str]:
    """Sentences on what the folders lack."""
    notes = []
    if graph is None:
        notes.append(
            "The graph was not found, so relations have identifiers only and entities are not drawn; use --data."
        )
    without = [it.name for it in stages if it.test is None]
    if without:
        notes.append(f"Not evaluated on the test split: {', '.join(without)}; use `mulde evaluate`.")
    if not any(it.model is not None for it in stages):
        notes.append("The folders hold no weights, so latency, curvature and entities are not shown.")
    lacking = [run.name for run in runs if run.has_senior and run.senior is None]
    if lacking:
        notes.append(f"No Senior was kept in {', '.join(lacking)}, so its gates are not shown.")
    return notes
