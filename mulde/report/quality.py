"""Figures of quality: against size and latency, over epochs, by kind of query, by relation.

All figures are of the embeddings only; the first one also shows the MRR with the graph prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kge_data.tripleset import TripleSet
from mulde.report.drawing import Axis, Drawing, around
from mulde.report.figure import Dot, Figure, dot_plot, keys, line_plot
from mulde.report.runs import Log, Run, Stage

MOST = 25  # relations in a drawing; the table below it has all
FEW = 2000  # entities up to which latency does not depend on the size of the model
ALIKE = 0.005  # difference of MRR that counts as none
TAIL, HEAD = "tail queries (h, r, ?)", "head queries (?, r, t)"
KINDS = {"1-1": "one to one", "1-N": "one to many", "N-1": "many to one", "N-N": "many to many"}


def frontier(stages: Sequence[Stage], graph: TripleSet | None) -> Figure | None:
    """MRR against megabytes and against milliseconds; a line joins the Pareto-optimal models."""
    evaluated = [stage for stage in stages if stage.mrr is not None]
    drawings = []
    for values, name, unit in (
        ({id(it): it.megabytes for it in evaluated}, "size of the model, MB", "MB"),
        ({id(it): it.latency and it.latency.p50 for it in evaluated}, "time for one query, ms (median)", "ms"),
    ):
        points = [(value, stage) for stage in evaluated if (value := values[id(stage)])]
        if points:
            drawings.append(_against(points, name, unit))
    if not drawings:
        return None
    timed = any(stage.latency for stage in evaluated)
    about = (
        "Higher is better, further left is smaller or faster. The dashed line joins the Pareto-optimal models: no "
        "smaller (or faster) model is as good. Both horizontal scales are logarithmic. MRR is of the embeddings only."
    )
    if any(_differs(stage) for stage in evaluated):
        about += " The thin line from a mark ends at the MRR with graph prior."
    if timed:
        about += " Latency is that of single queries on one processor thread, all entities scored."
        if graph is not None and graph.num_entities < FEW:
            about += " With so few entities it is the overhead of a call, whatever the size of the model."
    elif any(stage.model is not None for stage in evaluated):
        about += " Latency was not measured."
    else:
        about += " Latency was not measured, because these folders hold no weights."
    return Figure("Quality against size and latency", about, _comparison(evaluated), drawings, keys(evaluated))


def _against(points: Sequence[tuple[float, Stage]], name: str, unit: str) -> str:
    drawing = Drawing(880, 380, f"Test MRR against {name}")
    figures = [mrr for _, stage in points for mrr in (stage.mrr, stage.prior_mrr) if mrr is not None]
    x = Axis(*around([value for value, _ in points], 0.12, log=True), 52, 860, log=True)
    y = Axis(*around(figures, 0.1), 330, 32)
    drawing.x_axis(x, 330, 32, name)
    drawing.y_axis(y, 52, 860, "test MRR")
    best, front = -1.0, []
    for value, stage in sorted(points, key=lambda point: (point[0], -(point[1].mrr or 0))):
        if (stage.mrr or 0) > best:
            best = stage.mrr or 0
            front.append((x(value), y(best)))
    if len(front) > 1:
        drawing.curve(front, "front")
    for value, stage in points:
        title = f"{stage.name}: MRR {stage.mrr:.4f}, {value:.3g} {unit}"
        if _differs(stage):
            at, end = x(value), y(stage.prior_mrr or 0)
            drawing.line(at, y(stage.mrr or 0), at, end, "join")
            drawing.line(at - 6, end, at + 6, end, "join")
            title += f"; {stage.prior_mrr:.4f} with graph prior"
        drawing.mark(x(value), y(stage.mrr or 0), stage.role, title, 7)
    drawing.labels([(x(value), y(it.mrr or 0), it.name, it.role) for value, it in points], 58, 872)
    return drawing.svg()


def _differs(stage: Stage) -> bool:
    """Whether the graph prior changes the third decimal of a model's MRR."""
    return stage.prior_mrr is not None and abs((stage.mrr or 0) - stage.prior_mrr) >= 0.0005


def _comparison(stages: Sequence[Stage]) -> str:
    """Each Junior against the best teacher, in words."""
    teachers = [stage for stage in stages if stage.role == "teacher"]
    juniors = [stage for stage in stages if stage.role == "junior"]
    if not teachers:
        return ""
    best = max(teachers, key=lambda stage: stage.mrr or 0)
    sentences = []
    for junior in juniors:
        text = f"{junior.name} has {100 * (junior.mrr or 0) / (best.mrr or 1):.0f} % of the MRR of {best.name}"
        if junior.prior_mrr and best.prior_mrr:
            text += f" ({100 * junior.prior_mrr / best.prior_mrr:.0f} % with graph prior)"
        if junior.megabytes and best.megabytes:
            text += f" at {100 * junior.megabytes / best.megabytes:.0f} % of its size"
        if junior.latency and best.latency:
            text += f" and {100 * junior.latency.p50 / best.latency.p50:.0f} % of its latency"
        sentences.append(f"{text}.")
    return " ".join(sentences)


def learning(stages: Sequence[Stage]) -> Figure | None:
    """Validation MRR over the epochs."""
    fitted = [stage for stage in stages if len(stage.curve) > 1]
    if not fitted:
        return None
    lines = [(it.name, it.role, [(line["epoch"], line["valid/mrr"]) for line in it.curve]) for it in fitted]
    values = {it.name: [line["valid/mrr"] for line in it.curve] for it in fitted}
    rising = [name for name, each in values.items() if each[-1] - max(each[:-1]) > ALIKE]
    found = f"Still rising at the last evaluation: {', '.join(rising)}; longer training may help." if rising else ""
    about = (
        "MRR on the validation split, without graph prior. Each training keeps the weights of its best evaluation. The "
        "test split is not used."
    )
    rows = [{"model": it.name, **_ending(it)} for it in fitted]
    drawing = line_plot(lines, "validation MRR", "Validation MRR over the epochs", height=400)
    return Figure("Training", about, found, [drawing], keys(fitted), rows)


def _ending(stage: Stage) -> dict[str, Any]:
    record = stage.record
    return {
        "epochs": record.get("epochs"),
        "stopped by": record.get("stopped_by"),
        "best epoch": record.get("best_epoch"),
        "best validation MRR": record.get("best_metrics", {}).get("valid/mrr"),
        "seconds": round(record.get("seconds", 0)),
    }


def losses(run: Run) -> Figure | None:
    """Terms of a Junior's loss, each on its own scale."""
    junior = run.junior
    terms = [
        name
        for name in (junior.log[0] if junior and junior.log else {})
        if "/" in name and name.split("/")[0] not in ("valid", "lr", "attention")
    ]
    if junior is None or len(junior.log) < 2 or not terms:
        return None
    meanings = {
        "junior/hard": "the Junior's loss on the training triples",
        "junior/soft": "the Junior's loss on the soft labels of the teachers",
        "senior/hard": "the Senior's loss on the training triples",
    }
    drawings = []
    for term in terms:
        points = _by_epoch(junior.log, term)
        if len(points) > 1:
            kind = "senior" if term.startswith("senior") else "junior"
            drawings.append(line_plot([(term, kind, points)], term, term, width=420, height=250, named=False))
    explained = "; ".join(f"{term}: {meanings[term]}" for term in terms if term in meanings)
    about = "Terms of the loss, averaged over each epoch; lower is better. The scales of the plots differ."
    if explained:
        about += f" {explained}."
    return Figure(f"Loss terms of {junior.name}", about, "", drawings, wide=False)


def _by_epoch(log: Log, term: str) -> list[tuple[float, float]]:
    """A term averaged over each epoch. A line of the log holds the mean since the previous line."""
    sums: dict[int, list[float]] = {}
    before = 0
    for line in log:
        if term in line:
            total = sums.setdefault(line["epoch"], [0.0, 0])
            total[0] += (line["step"] - before) * line[term]
            total[1] += line["step"] - before
            before = line["step"]
    return [(epoch, total / steps) for epoch, (total, steps) in sums.items() if steps]


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
    return Figure("Kinds of relations", about, "", [drawing], keys(evaluated), table)


def by_relation(stages: Sequence[Stage], graph: TripleSet | None) -> Figure | None:
    """MRR of each relation; the drawing shows the most frequent ones."""
    evaluated = [stage for stage in stages if stage.test and stage.role not in ("senior", "ensemble")]
    if not evaluated:
        return None
    triples = {name: int(it["triples"]) for stage in evaluated for name, it in stage.only["by_relation"].items()}
    names = sorted(triples, key=lambda name: (-triples[name], name))
    rows = [
        (f"{relation_label(name, graph)} ({triples[name]:,})", _dots(evaluated, "by_relation", name))
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
    return Figure("Relations", about, _counts(evaluated, names), [drawing], keys(evaluated), table)


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
