"""Figures of quality: models with intervals, against size and latency, by kind of query, by relation.

All figures are of the test split and of the embeddings only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kge_data.tripleset import TripleSet
from mulde.report.drawing import Axis, Drawing, around
from mulde.report.figure import INTERVAL, WIDE, Dot, Figure, dot_plot, for_page_and_phone, keys
from mulde.report.lettering import isolated
from mulde.report.runs import Stage, best_teacher

MOST = 25  # relations in a drawing; the table below it has all
FEW = 2000  # entities up to which latency does not depend on the size of the model
ALIKE = 0.005  # difference of MRR that counts as none
TAIL, HEAD = "tail queries (h, r, ?)", "head queries (?, r, t)"
KINDS = {"1-1": "one to one", "1-N": "one to many", "N-1": "many to one", "N-N": "many to many"}


def ranking(stages: Sequence[Stage]) -> Figure | None:
    """Test MRR of every model with its interval, best first."""
    evaluated = by_mrr(stage for stage in stages if stage.mrr is not None)
    if len(evaluated) < 2:
        return None
    rows = [(it.name, [Dot(it.mrr or 0, it.role, _title(it), it.role == "junior", it.interval)]) for it in evaluated]
    about = "Test MRR of the embeddings only, best first. The order of models is uncertain if their intervals overlap."
    drawing = dot_plot(rows, "test MRR", "Test MRR of the models with 95 % intervals")
    return Figure("MRR of the models", about, "", [drawing], _with_interval(evaluated))


def by_mrr(stages: Iterable[Stage]) -> list[Stage]:
    """Stages by decreasing test MRR of the embeddings only; those without an evaluation are last."""
    return sorted(stages, key=lambda stage: -1 if stage.mrr is None else stage.mrr, reverse=True)


def frontier(stages: Sequence[Stage], graph: TripleSet | None) -> Figure | None:
    """MRR against megabytes and against milliseconds; a line joins the Pareto-optimal models."""
    evaluated = [stage for stage in stages if stage.mrr is not None]
    if len(evaluated) < 2:
        return None
    drawings = []
    for values, name, unit in (
        ({id(it): it.megabytes for it in evaluated}, "size of the model, MB", "MB"),
        ({id(it): it.latency and it.latency.p50 for it in evaluated}, "time for one query, ms (median)", "ms"),
    ):
        points = [(value, stage) for stage in evaluated if (value := values[id(stage)])]
        if len({value for value, _ in points}) > 1:
            drawings.append(_against(points, name, unit))
    if not drawings:
        return None
    timed = any(stage.latency for stage in evaluated)
    about = (
        "Higher is better, further left is smaller or faster. The dashed line joins the Pareto-optimal models: no "
        "smaller (or faster) model is as good. The horizontal scales are logarithmic. MRR is of the embeddings only."
    )
    if timed:
        about += " Latency is that of single queries on one processor thread, all entities scored."
        if graph is not None and graph.num_entities < FEW:
            about += " With so few entities it is the overhead of a call, whatever the size of the model."
    elif any(stage.model is not None for stage in evaluated):
        about += " Latency was not measured."
    else:
        about += " Latency was not measured, because these folders hold no weights."
    legend = [*_with_interval(evaluated), ("curve front", "Pareto-optimal models")]
    return Figure("Quality against size and latency", about, _comparison(evaluated), drawings, legend)


def _against(points: Sequence[tuple[float, Stage]], name: str, unit: str) -> str:
    figures = [mrr for _, it in points for mrr in (it.mrr, *(it.interval or ())) if mrr is not None]
    span, sizes = around(figures, 0.1), around([value for value, _ in points], 0.12, log=True)
    ranked = sorted(points, key=lambda point: (point[0], -(point[1].mrr or 0)))

    def draw(width: float) -> Drawing:
        height, end = (380.0, 860.0) if width == WIDE else (300.0, width - 16)
        drawing = Drawing(width, height, f"Test MRR against {name}")
        x, y = Axis(*sizes, 52, end, log=True), Axis(*span, height - 50, 32)
        drawing.x_axis(x, height - 50, 32, name)
        drawing.y_axis(y, 52, end, "test MRR")
        best, front = -1.0, []
        for value, stage in ranked:
            if (stage.mrr or 0) > best:
                best = stage.mrr or 0
                front.append((x(value), y(best)))
        if len(front) > 1:
            drawing.curve(front, "front")
        for value, stage in points:
            if stage.interval:
                low, high = map(y, stage.interval)
                drawing.interval((x(value), low), (x(value), high), stage.role)
        for value, stage in points:
            drawing.mark(x(value), y(stage.mrr or 0), stage.role, f"{_title(stage)}, {value:.3g} {unit}", 7)
        drawing.labels([(x(value), y(it.mrr or 0), it.name, it.role) for value, it in points], 56, width - 4)
        return drawing

    return for_page_and_phone(draw)


def _comparison(stages: Sequence[Stage]) -> str:
    """Each Junior against the best teacher, in words."""
    best = best_teacher(stages)
    juniors = [stage for stage in stages if stage.role == "junior"]
    if best is None or not juniors:
        return ""
    sentences = [f"The best teacher by validation MRR is {best.name}."]
    for junior in juniors:
        text = f"{junior.name} has {percent(junior.mrr, best.mrr)} of its test MRR"
        if junior.megabytes and best.megabytes:
            text += f" at {percent(junior.megabytes, best.megabytes)} of its size"
        if junior.latency and best.latency:
            text += f" and {percent(junior.latency.p50, best.latency.p50)} of its latency"
        sentences.append(f"{text}.")
    return " ".join(sentences)


def percent(part: float | None, whole: float | None) -> str:
    """A part as percent of a whole."""
    return f"{100 * (part or 0) / (whole or 1):.3g} %"


def _title(stage: Stage) -> str:
    """Tooltip of a model: its MRR and the interval."""
    low_high = stage.interval
    return f"{stage.name}: MRR {stage.mrr:.4f}" + (f" ({low_high[0]:.4f} to {low_high[1]:.4f})" if low_high else "")


def _with_interval(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    return keys(stages) + [INTERVAL] * any(stage.interval for stage in stages)


def by_cardinality(stages: Sequence[Stage]) -> Figure | None:
    """MRR for 1-1, 1-N, N-1 and N-N relations, and for the two directions."""
    evaluated = [stage for stage in stages if stage.test]
    if not evaluated:
        return None
    kinds = [kind for kind in KINDS if any(kind in it.only["by_cardinality"] for it in evaluated)]
    count = {kind: max(it.only["by_cardinality"].get(kind, {}).get("triples", 0) for it in evaluated) for kind in kinds}
    labels = {f"{KINDS[kind]} ({count[kind]:,} triples)": ("by_cardinality", kind) for kind in kinds}
    labels |= {TAIL: ("by_direction", "tail"), HEAD: ("by_direction", "head")}
    rows = [(label, _dots(evaluated, *where)) for label, where in labels.items()]
    table = [
        {"queries": label, **{it.name: it.only[part].get(kind, {}).get("mrr") for it in evaluated}}
        for label, (part, kind) in labels.items()
    ]
    about = (
        "Test MRR of the embeddings only by kind of relation, as classified on the training triples: “one to many” "
        "means that a head usually has several tails. The last two rows split all queries by direction."
    )
    drawing = dot_plot(rows, "test MRR", "Test MRR by kind of relation and direction")
    return Figure("Kinds of relations", about, "", [drawing], _joined_keys(evaluated), rows=table)


def by_relation(stages: Sequence[Stage], graph: TripleSet | None) -> Figure | None:
    """MRR of each relation; the drawing shows the most frequent ones."""
    evaluated = [stage for stage in stages if stage.test and stage.role not in ("senior", "ensemble")]
    if not evaluated:
        return None
    triples = {name: int(it["triples"]) for stage in evaluated for name, it in stage.only["by_relation"].items()}
    names = sorted(triples, key=lambda name: (-triples[name], name))
    rows = [
        (f"{isolated(relation_label(name, graph))} ({triples[name]:,})", _dots(evaluated, "by_relation", name))
        for name in names[:MOST]
    ]
    table = [
        {
            "relation": relation_label(name, graph),
            "test triples": triples[name],
            **{it.name: it.only["by_relation"].get(name, {}).get("mrr") for it in evaluated},
        }
        for name in names
    ]
    about = (
        "Test MRR of the embeddings only for each relation, with its number of test triples in brackets"
        + (f"; the {MOST} most frequent of {len(names)}, all in the table below" if len(names) > MOST else "")
        + ". The MRR of a relation with few triples is uncertain."
    )
    drawing = dot_plot(rows, "test MRR", "Test MRR by relation", span=(-0.02, 1.02))
    return Figure("Relations", about, _counts(evaluated, names), [drawing], _joined_keys(evaluated), rows=table)


def _joined_keys(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """Legend of dots of which those of Junior and baseline are joined."""
    both = {"junior", "baseline"} <= {stage.role for stage in stages}
    return keys(stages) + [("join", "from the baseline to the Junior")] * both


def _counts(stages: Sequence[Stage], names: Sequence[str]) -> str:
    """Number of relations on which distillation helped: the first Junior against a baseline of its dimension."""
    junior = next((it for it in stages if it.role == "junior"), None)
    baseline = next((it for it in stages if junior and it.role == "baseline" and it.dim == junior.dim), None)
    if junior is None or baseline is None:
        return ""
    pairs = [[it.only["by_relation"].get(name, {}).get("mrr") for it in (junior, baseline)] for name in names]
    gains = [distilled - plain for distilled, plain in pairs if distilled is not None and plain is not None]
    better, worse = sum(gain > ALIKE for gain in gains), sum(gain < -ALIKE for gain in gains)
    equal = len(gains) - better - worse
    return (
        f"Compared with {baseline.name}, {junior.name} is better on {better} of {len(gains)} relations, worse on "
        f"{worse}, and within .005 on {equal}."
    )


def relation_label(name: str, graph: TripleSet | None) -> str:
    """Readable name of a relation; its identifier without the graph."""
    return name if graph is None else graph.relation_label(graph.relation_id(name))


def _dots(stages: Sequence[Stage], part: str, name: str) -> list[Dot]:
    found = [(stage, stage.only[part].get(name, {}).get("mrr")) for stage in stages]
    return [
        Dot(value, stage.role, f"{stage.name}: {value:.4f}", stage.role in ("junior", "baseline"))
        for stage, value in found
        if value is not None
    ]
