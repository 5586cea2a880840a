"""Figures about how good the models are: against size and latency, over the epochs, by kind of query, by relation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kge_data.tripleset import TripleSet
from mulde.report.drawing import Axis, Drawing, around
from mulde.report.figure import Dot, Figure, dot_plot, keys, line_plot
from mulde.report.gather import Log, Run, Stage

SHOWN = 25  # relations in a drawing; the table below it has all
FEW = 2000  # entities, up to which the time of a query does not depend on the model's size
ALIKE = 0.005  # MRR, up to which a difference is not spoken of
SOFT_LABELS = {
    "mulde": "the Senior's soft labels",
    "average": "the mean of the teachers' scores",
    "offline": "what the teachers answered before the training",
}
KINDS = {"1-1": "one to one", "1-N": "one to many", "N-1": "many to one", "N-N": "many to many"}


def frontier(stages: Sequence[Stage], graph: TripleSet | None) -> Figure | None:
    """MRR against megabytes and against milliseconds; a line joins the models that nothing smaller or faster beats."""
    judged = [stage for stage in stages if stage.mrr is not None]
    drawings = []
    for values, name, unit in (
        ({id(it): it.megabytes for it in judged}, "size of the model, MB", "MB"),
        ({id(it): it.latency and it.latency[0] for it in judged}, "time for one query, ms (median)", "ms"),
    ):
        points = [(value, stage) for stage in judged if (value := values[id(stage)])]
        if points:
            drawings.append(_against(points, name, unit))
    if not drawings:
        return None
    timed = any(stage.latency for stage in judged)
    about = (
        "Up is better, left is smaller or faster. The dashed line joins the models that no smaller (or faster) model "
        "equals. Both horizontal scales are logarithmic."
    )
    if any(_differ(stage) for stage in judged):
        about += " The stroke at a mark ends at the MRR of its vectors alone, without what the graph says."
    if timed:
        about += " A query is timed alone on one processor thread, all entities scored."
        if graph is not None and graph.num_entities < FEW:
            about += " On a graph of so few entities that is the overhead of a call, whatever the size of the model."
    elif any(stage.model is not None for stage in judged):
        about += " No time was measured."
    else:
        about += " The weights are not in these folders, so no time was measured."
    return Figure("Quality against size and speed", about, _bargain(judged), drawings, keys(judged))


def _against(points: Sequence[tuple[float, Stage]], name: str, unit: str) -> str:
    drawing = Drawing(880, 380, f"Test MRR against {name}")
    x = Axis(*around([value for value, _ in points], 0.12, log=True), 52, 860, log=True)
    y = Axis(*around([mrr or 0 for _, stage in points for mrr in (stage.mrr, stage.vectors)], 0.1), 330, 32)
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
        if _differ(stage):
            at, end = x(value), y(stage.vectors or 0)
            drawing.line(at, y(stage.mrr or 0), at, end, "join")
            drawing.line(at - 6, end, at + 6, end, "join")
            title += f"; {stage.vectors:.4f} by vectors alone"
        drawing.mark(x(value), y(stage.mrr or 0), stage.role, title, 7)
    drawing.labels([(x(value), y(it.mrr or 0), it.name, it.role) for value, it in points], 58, 872)
    return drawing.svg()


def _differ(stage: Stage) -> bool:
    """Whether what the graph says changes the third decimal of a model's MRR."""
    return abs((stage.mrr or 0) - (stage.vectors or 0)) >= 0.0005


def _bargain(stages: Sequence[Stage]) -> str:
    """What each Junior costs and keeps, in words."""
    teachers = [stage for stage in stages if stage.role == "teacher"]
    juniors = [stage for stage in stages if stage.role == "junior"]
    if not teachers:
        return ""
    best = max(teachers, key=lambda stage: stage.mrr or 0)
    said = []
    for junior in juniors:
        text = f"{junior.name} has {100 * (junior.mrr or 0) / (best.mrr or 1):.0f} % of the MRR of {best.name}"
        if _differ(junior) or _differ(best):
            text += f" ({100 * (junior.vectors or 0) / (best.vectors or 1):.0f} % by vectors alone)"
        if junior.megabytes and best.megabytes:
            text += f" at {100 * junior.megabytes / best.megabytes:.0f} % of its size"
        if junior.latency and best.latency:
            text += f" and {100 * junior.latency[0] / best.latency[0]:.0f} % of its time for a query"
        said.append(f"{text}.")
    return " ".join(said)


def learning(stages: Sequence[Stage]) -> Figure | None:
    """Validation MRR over the epochs."""
    fitted = [stage for stage in stages if len(stage.curve) > 1]
    if not fitted:
        return None
    lines = [(it.name, it.role, [(line["epoch"], line["valid/mrr"]) for line in it.curve]) for it in fitted]
    values = {it.name: [line["valid/mrr"] for line in it.curve] for it in fitted}
    rising = [name for name, each in values.items() if each[-1] - max(each[:-1]) > ALIKE]
    found = f"Still rising at its last evaluation: {', '.join(rising)}; longer training may help." if rising else ""
    about = (
        "MRR on the validation split after every few epochs, without the closed world. Of each training the weights of "
        "its best evaluation were kept. The test split plays no part in this."
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
    """The terms of a Junior's loss, each on its own scale."""
    junior = run.junior
    terms = [
        name
        for name in (junior.log[0] if junior and junior.log else {})
        if "/" in name and name.split("/")[0] not in ("valid", "lr", "attention")
    ]
    if junior is None or len(junior.log) < 2 or not terms:
        return None
    meanings = {
        "junior/hard": "the Junior against the data",
        "junior/soft": f"the Junior against {SOFT_LABELS.get(run.method, 'soft labels')}",
        "senior/hard": "the Senior against the data",
    }
    drawings = []
    for term in terms:
        points = _by_epoch(junior.log, term)
        if len(points) > 1:
            kind = "senior" if term.startswith("senior") else "junior"
            drawings.append(line_plot([(term, kind, points)], term, term, width=420, height=250, named=False))
    said = "; ".join(f"{term}: {meanings[term]}" for term in terms if term in meanings)
    about = "The terms of the loss, averaged over each epoch, lower is better; every drawing has its own scale."
    if said:
        about += f" {said}."
    return Figure(f"What {junior.name} learned from", about, "", drawings, wide=False)


def _by_epoch(log: Log, term: str) -> list[tuple[float, float]]:
    """A term averaged over each epoch; the log may have lines in the middle of one, each the mean since the last."""
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
    judged = [stage for stage in stages if stage.test]
    if not judged:
        return None
    kinds = [kind for kind in KINDS if any(kind in _part(it, "by_cardinality") for it in judged)]
    count = {kind: max(_part(it, "by_cardinality").get(kind, {}).get("triples", 0) for it in judged) for kind in kinds}
    labels = {f"{KINDS[kind]} ({count[kind]:,} triples)": ("by_cardinality", kind) for kind in kinds}
    labels |= {"asked for the tail": ("by_direction", "tail"), "asked for the head": ("by_direction", "head")}
    rows = [(label, _dots(judged, *where)) for label, where in labels.items()]
    table = [
        {"queries": label, **{it.name: _part(it, part).get(kind, {}).get("mrr") for it in judged}}
        for label, (part, kind) in labels.items()
    ]
    about = (
        "Test MRR by kind of relation, as counted in the training triples: “one to many” means that a head usually has "
        "several tails. The last two rows divide all queries by what was asked."
    )
    drawing = dot_plot(rows, "test MRR", "Test MRR by kind of relation and direction")
    return Figure("Kinds of relations", about, "", [drawing], keys(judged), table)


def by_relation(stages: Sequence[Stage], graph: TripleSet | None) -> Figure | None:
    """MRR of each relation; the drawing shows the most frequent ones."""
    judged = [stage for stage in stages if stage.test and stage.role not in ("senior", "ensemble")]
    if not judged:
        return None
    triples = {name: int(it["triples"]) for stage in judged for name, it in _part(stage, "by_relation").items()}
    names = sorted(triples, key=lambda name: (-triples[name], name))
    rows = [
        (f"{relation_label(name, graph)} ({triples[name]:,})", _dots(judged, "by_relation", name))
        for name in names[:SHOWN]
    ]
    table = [
        {
            "relation": relation_label(name, graph),
            "test triples": triples[name],
            **{it.name: _part(it, "by_relation").get(name, {}).get("mrr") for it in judged},
        }
        for name in names
    ]
    about = (
        "Test MRR of each relation, with its number of test triples in brackets"
        + (f"; the {SHOWN} most frequent of {len(names)}, all in the table below" if len(names) > SHOWN else "")
        + ". A relation with few triples says little: one query more or less moves it far."
    )
    drawing = dot_plot(rows, "test MRR", "Test MRR by relation", span=(-0.02, 1.02))
    return Figure("Relations", about, _won_and_lost(judged, names), [drawing], keys(judged), table)


def _won_and_lost(stages: Sequence[Stage], names: Sequence[str]) -> str:
    """How often the teachers helped: the first Junior against the first model trained alone."""
    junior = next((it for it in stages if it.role == "junior"), None)
    alone = next((it for it in stages if junior and it.role == "baseline" and it.dim == junior.dim), None)
    if junior is None or alone is None:
        return ""
    pairs = [[_part(it, "by_relation").get(name, {}).get("mrr") for it in (junior, alone)] for name in names]
    gains = [with_ - without for with_, without in pairs if with_ is not None and without is not None]
    better, worse = sum(gain > ALIKE for gain in gains), sum(gain < -ALIKE for gain in gains)
    equal = len(gains) - better - worse
    return (
        f"Against {alone.name}, {junior.name} is better on {better} of {len(gains)} relations, worse on {worse}, "
        f"and within .005 on {equal}."
    )


def relation_label(name: str, graph: TripleSet | None) -> str:
    """A relation's readable name, where the graph is there to tell it."""
    return name if graph is None else graph.relation_label(graph.relation_id(name))


def _part(stage: Stage, name: str) -> dict[str, dict[str, Any]]:
    return {} if stage.test is None else stage.test[name]


def _dots(stages: Sequence[Stage], part: str, name: str) -> list[Dot]:
    found = [(stage, _part(stage, part).get(name, {}).get("mrr")) for stage in stages]
    return [
        Dot(value, stage.role, f"{stage.name}: {value:.4f}", stage.role in ("junior", "baseline"))
        for stage, value in found
        if value is not None
    ]
