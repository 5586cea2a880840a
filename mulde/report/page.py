"""Puts the figures of one or several runs on a page: one HTML file with its style and drawings inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kge_data.tripleset import TripleSet
from mulde.engine.provenance import environment
from mulde.errors import UsageError
from mulde.report import disk, inside, quality
from mulde.report.figure import Figure
from mulde.report.gather import Run, Stage

TEMPLATE = Path(__file__).with_name("template.html")


def page(runs: Sequence[Run], graph: TripleSet | None, types: Path | None = None) -> str:
    """The whole page. ``types``: a file of entity types for the colours of the disk."""
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise UsageError("a report needs Jinja2: pip install 'mulde[report]'") from error
    templates = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters["cell"] = cell
    template = templates.from_string(TEMPLATE.read_text(encoding="utf-8"))
    stages = _distinct([stage for run in runs for stage in run.stages])
    figures = [figure for figure in _figures(runs, stages, graph, types) if figure is not None]
    return template.render(
        title=_title(runs, stages),
        intro=_intro(runs, stages, graph),
        cards=list(_cards(stages)),
        models=[_row(stage) for stage in stages],
        figures=figures,
        missing=_missing(runs, stages, graph),
        settings=[(run.name, run.settings) for run in runs if run.settings],
        environment=environment(),
        checksum=next((stage.test["checksum"] for stage in stages if stage.test), None),
    )


def cell(value: Any) -> str:
    """A value as the tables show it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _figures(
    runs: Sequence[Run], stages: Sequence[Stage], graph: TripleSet | None, types: Path | None
) -> Iterator[Figure | None]:
    yield quality.frontier(stages, graph)
    yield quality.learning(stages)
    for run in runs:
        yield quality.losses(run)
    yield quality.by_cardinality(stages)
    yield quality.by_relation(stages, graph)
    for run in runs:
        found = [inside.gates(run, graph), inside.attention(run), inside.curvature(run, graph)]
        pictured = inside.pictured(run)
        if graph is not None and pictured:
            found.append(disk.disks(pictured, graph, types))
        for figure in found:
            if figure is not None and len(runs) > 1 and run.name not in figure.title:
                figure.title += f" · {run.name}"
            yield figure


def _distinct(stages: Sequence[Stage]) -> list[Stage]:
    """Without the teachers of one run that another run has as well, to the last digit."""
    kept: list[Stage] = []
    for stage in stages:
        shared = stage.role in ("teacher", "ensemble") and stage.test is not None
        if not shared or all(stage.test != other.test or stage.role != other.role for other in kept):
            kept.append(stage)
    return kept


def _title(runs: Sequence[Run], stages: Sequence[Stage]) -> str:
    data = next((stage.test["data"] for stage in stages if stage.test), "") or runs[0].name
    if len(runs) > 1:
        return f"{data}: {len(runs)} runs compared"
    junior, teachers = runs[0].junior, len(runs[0].teachers)
    if junior is None or junior.dim is None:
        return f"{data}: {runs[0].name}"
    many = "one teacher" if teachers == 1 else f"{teachers} teachers"
    return f"{data}: a Junior with {junior.dim} dimensions and its {many}"


def _intro(runs: Sequence[Run], stages: Sequence[Stage], graph: TripleSet | None) -> list[str]:
    """What this page is about, for somebody who did not train the models."""
    said = []
    if graph is not None:
        said.append(
            f"The graph {graph.name} has {graph.num_entities:,} entities, {graph.num_relations:,} relations and "
            f"{len(graph.train):,} triples (head, relation, tail) to learn from. The models answer questions such as "
            f"(head, relation, ?): which entity belongs there?"
        )
    if taught := [run for run in runs if run.junior]:
        senior = ", through a Senior that blends their opinions" if any(run.method == "mulde" for run in taught) else ""
        said.append(
            "Teachers are large models trained on the triples. The Junior is a small model that learned from the "
            f"triples and from the teachers{senior}; the Junior is what is shipped."
        )
    said.append(
        "MRR, the mean reciprocal rank, is 1 when the right answer always comes first and .5 when it comes second. "
        "Hits@10 is the share of questions whose right answer is among the first ten. All figures are of the test "
        "split, which no training and no choice has seen, unless they say otherwise."
    )
    return said


def _cards(stages: Sequence[Stage]) -> Iterator[tuple[str, str, str]]:
    """The figures that matter most: (figure, unit, meaning)."""
    main = next((it for it in stages if it.role == "junior" and it.test), None)
    main = main or next((it for it in stages if it.test), None)
    if main is None or main.test is None:
        return
    low, high = main.test["mrr_interval_95"]
    yield f"{main.mrr:.3f}", "MRR", f"{main.name}, test split; 95 % interval {low:.3f} to {high:.3f}"
    alone = next((it for it in stages if it.role == "baseline" and it.dim == main.dim and it.mrr is not None), None)
    if main.role == "junior" and alone is not None:
        yield (
            f"{(main.mrr or 0) - (alone.mrr or 0):+.3f}",
            "MRR",
            f"difference from {alone.name}, which had no teachers",
        )
    ensemble = next((it.megabytes for it in stages if it.role == "ensemble" and it.folder == main.folder), None)
    if main.megabytes:
        meaning = f"on disk; {main.parameters:,} numbers" if main.parameters else "on disk"
        if ensemble:
            meaning += f"; its teachers together {' '.join(_size(ensemble))}"
        yield *_size(main.megabytes), meaning
    if main.latency:
        yield f"{main.latency[0]:,.3g}", "ms", "for one query, all entities scored, one processor thread (median)"


def _row(stage: Stage) -> dict[str, Any]:
    realistic = (stage.test or {}).get("realistic", {})
    low, high = (stage.test or {}).get("mrr_interval_95", (None, None))
    interval = None if low is None else f"{low:.3f} to {high:.3f}"
    median, slow = stage.latency or (None, None)
    return {
        "model": stage.name, "dim": stage.dim, "numbers": stage.parameters,
        "size": None if stage.megabytes is None else " ".join(_size(stage.megabytes)), "MRR": realistic.get("mrr"),
        "95 % interval": interval, "vectors": stage.vectors,
        **{f"Hits@{k}": realistic.get(f"hits@{k}") for k in (1, 3, 10)},
        "ms": None if median is None else f"{median:.2f}", "ms, p95": None if slow is None else f"{slow:.2f}",
    }  # fmt: skip


def _size(megabytes: float) -> tuple[str, str]:
    return (f"{megabytes:,.3g}", "MB") if megabytes >= 0.995 else (f"{1000 * megabytes:,.3g}", "kB")


def _missing(runs: Sequence[Run], stages: Sequence[Stage], graph: TripleSet | None) -> list[str]:
    """What the folders do not hold, and what would help."""
    said = []
    if graph is None:
        said.append("The graph was not found, so relations have their identifiers and no entities are drawn; --data.")
    without = [it.name for it in stages if it.test is None]
    if without:
        said.append(f"Not evaluated on the test split: {', '.join(without)}; `mulde evaluate` does it.")
    if not any(it.model is not None for it in stages):
        said.append("The folders hold no weights (a record, perhaps), so speed, curvature and entities are not shown.")
    untold = [run.name for run in runs if run.junior and run.senior is None and run.method == "mulde"]
    if untold:
        said.append(
            f"No Senior was kept in {', '.join(untold)}, which are records or older runs; its gates are left out."
        )
    return said
