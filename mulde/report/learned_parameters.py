"""Figures of learned parameters: the Senior's gates and attention, the curvature of relations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.inverse import forward_id, num_internal, reciprocal_id
from kge_data.tripleset import TripleSet
from mulde.report.drawing import LINE, Drawing
from mulde.report.figure import WIDE, Dot, Figure, dot_plot, flat, for_page_and_phone, line_plot
from mulde.report.lettering import text_width, wrapped
from mulde.report.runs import Run, Stage, best_teacher

INITIAL_GATE = 0.7310585786300049  # σ(1)
MOST = 30  # relations in a drawing
COLOURS = 8  # in the style of the page
TAIL, HEAD = "tail queries", "head queries"
ALIKE = 0.02  # difference of gates, weights or curvatures below which they are not drawn

Values = NDArray[np.float64]


def gates(run: Run, graph: TripleSet | None) -> Figure | None:
    """The Senior's gates as a heat map: relations in rows, teachers in columns, for both directions."""
    if run.senior is None:
        return None
    teachers, values = run.senior[0], run.senior[1].double().numpy()
    if flat(values.ravel().tolist(), ALIKE):
        return None
    order, labels = _relations(len(values) // 2, graph)
    ids = np.arange(len(labels))
    tail, head = values[forward_id(ids)], values[reciprocal_id(ids)]
    drawn = order[:MOST]
    middle = float(values.mean())
    drawing = for_page_and_phone(
        lambda width: _heat_map(width, teachers, [labels[r] for r in drawn], tail[drawn], head[drawn], middle)
    )
    by_teacher = values.mean(0)
    most, least = int(by_teacher.argmax()), int(by_teacher.argmin())
    found = (
        f"Over all relations {teachers[most]} has the largest gates (mean {by_teacher[most]:.3f}) and "
        f"{teachers[least]} the smallest ({by_teacher[least]:.3f}); all gates are between {values.min():.2f} and "
        f"{values.max():.2f}."
        if len(teachers) > 1
        else ""
    )
    about = (
        "A gate scales the scores of one teacher for one relation before they are averaged. The initial value was "
        f"{INITIAL_GATE:.2f}; the average is now {middle:.2f}. Blue cells are above the average, orange ones below. "
        "Gates also compensate for different ranges of the teachers' scores, so a weak teacher may have a large gate."
        + (f" Shown: the {MOST} relations with most training triples." if len(order) > MOST else "")
    )
    rows = [
        {"relation": labels[r]}
        | {f"{name}, tail": float(tail[r, c]) for c, name in enumerate(teachers)}
        | {f"{name}, head": float(head[r, c]) for c, name in enumerate(teachers)}
        for r in order
    ]
    keys = [("cell up", "above the average gate"), ("cell down", "below the average gate")]
    return Figure("Weight of each teacher by relation", about, found, [drawing], keys, "Gates", rows)


def _heat_map(
    width: float, teachers: Sequence[str], labels: Sequence[str], tail: Values, head: Values, middle: float
) -> Drawing:
    """Gates (relations, teachers) of both directions. On a phone the label of a row is above its cells."""
    beside, columns = width == WIDE, len(teachers)
    left = min(320.0, 18 + max(map(text_width, labels))) if beside else 6.0
    gap = 24.0 if beside else 12.0
    wide = min(74.0, (width - left - gap - 6) / (2 * columns))
    heads = [wrapped(name, wide - 2) for name in teachers]
    rows = [wrapped(label, left - 18 if beside else width - 12) for label in labels]
    heights = [max(22, LINE * len(lines) + 4) if beside else LINE * len(lines) + 29 for lines in rows]
    top = 32 + LINE * max(map(len, heads))
    drawing = Drawing(width, top + sum(heights) + 6, "The Senior's gates by relation and teacher")
    widest = max(float(np.abs(np.stack([tail, head]) - middle).max()), 1e-9)
    for row, (label, lines, height) in enumerate(zip(labels, rows, heights, strict=True)):
        tall = height - 2 if beside else 20.0
        y = top + height - tall - (1 if beside else 7)
        if beside:
            drawing.lines(left - 9, y + tall / 2, lines, "end", label)
        else:
            drawing.lines(6, top + LINE * len(lines) / 2, lines, "start", label)
        for start, block, title in ((left, tail, TAIL), (left + columns * wide + gap, head, HEAD)):
            for column, name in enumerate(teachers):
                value = float(block[row, column])
                x, away = start + column * wide, value - middle
                drawing.add(
                    "rect", f"{label}, {name}, {title}: {value:.4f}", x=x + 1, y=y, width=wide - 2, height=tall, rx=3,
                    class_="cell up" if away >= 0 else "cell down", fill_opacity=0.85 * abs(away) / widest,
                )  # fmt: skip
                if wide > 28:
                    drawing.text(x + wide / 2, y + tall / 2 + 4, f"{value:.2f}", "cell-text", "middle")
        top += height
    for start, title in ((left, TAIL), (left + columns * wide + gap, HEAD)):
        drawing.text(start + columns * wide / 2, 16, title, "name", "middle")
        for column, lines in enumerate(heads):
            for i, line in enumerate(lines):
                drawing.text(start + (column + 0.5) * wide, 34 + LINE * i, line, "tick", "middle")
    return drawing


def attention(run: Run) -> Figure | None:
    """Mean weight of each teacher in the attention over the epochs."""
    junior = run.junior
    lines = [line for line in (junior.log if junior else []) if "attention/0" in line]
    if junior is None or len(lines) < 2:
        return None
    count = min(sum(name.startswith("attention/") for name in line) for line in lines)
    lines = [line for line in lines if all(f"attention/{i}" in line for i in range(count))]
    names = dict(enumerate(run.teachers))
    curves = [
        (
            names.get(i, f"teacher {i + 1}"),
            f"c{i % COLOURS}",
            [(line["epoch"], line[f"attention/{i}"]) for line in lines],
        )
        for i in range(count)
    ]
    if all(abs(weight - 1 / count) < ALIKE for _, _, points in curves for _, weight in points):
        return None
    epochs = junior.config.get("config", {}).get("tau_epochs")
    first = max(curves, key=lambda curve: curve[2][0][1])
    about = (
        "Weight of each teacher in the soft labels, averaged over training queries. The attention gives more weight to "
        "teachers whose scores are closer to the Junior's. Its temperature grows during training"
        + (f" (by a factor e every {epochs} epochs)" if epochs else "")
        + f", so all weights approach 1/{count}."
    )
    found = f"At the first evaluation {first[0]} had the largest weight, {first[2][0][1]:.3f}."
    rows = [
        {"epoch": line["epoch"], **{name: dict(points)[line["epoch"]] for name, _, points in curves}} for line in lines
    ]
    drawing = line_plot(curves, "mean weight", "Weights of the teachers in the attention", height=320)
    return Figure("Attention over the teachers", about, found, [drawing], rows=rows)


def curvature(run: Run, graph: TripleSet | None) -> Figure | None:
    """Curvature of each relation of the Junior, for both directions."""
    stage = run.junior or next((it for it in run.stages if it.model is not None), None)
    if stage is None or stage.model is None or not stage.model.scorer.hyperbolic():
        return None
    model = stage.model
    if model.config.curvature != "per-relation":
        return None
    initial = model.config.initial_curvature
    with torch.no_grad():
        learned = model.curvature(torch.arange(num_internal(model.num_relations)))
    assert learned is not None
    values = learned.double().numpy()
    if flat(values.tolist(), ALIKE):
        return None
    order, labels = _relations(model.num_relations, graph)
    ids = np.arange(model.num_relations)
    tail, head = values[forward_id(ids)].tolist(), values[reciprocal_id(ids)].tolist()
    directions = ("tail", TAIL, tail), ("head", HEAD, head)
    rows = [
        (
            labels[r],
            [Dot(of[r], role, f"{labels[r]}, {title}: {of[r]:.4f}", joined=True) for role, title, of in directions],
        )
        for r in sorted(order[:MOST], key=lambda r: -tail[r])
    ]
    drawing = dot_plot(rows, "curvature", "Curvature of each relation", reference=(initial, "initial"))
    table = [{"relation": labels[r], TAIL: tail[r], HEAD: head[r]} for r in order]
    about = (
        "Each relation has its own curvature, for each direction. Space grows faster away from the centre at higher "
        "curvature, which suits tree-like relations; near 0 the space is almost flat."
        + (f" Shown: the {MOST} relations with most training triples." if len(order) > MOST else "")
    )
    middle = np.median(values)
    found = f"Learned curvatures are between {values.min():.2f} and {values.max():.2f}; the median is {middle:.2f}."
    keys = [("tail", TAIL), ("head", HEAD), ("join", "difference of the directions"), ("reference", "initial value")]
    return Figure(f"Curvature of {stage.name}", about, found, [drawing], keys, "Direction", table)


def drawn_stages(run: Run) -> list[Stage]:
    """Stages whose entities are drawn: the Junior and the best teacher."""
    small = run.junior or next((it for it in run.stages if it.model is not None), None)
    best = best_teacher(run.stages)
    return [it for it in (small, best) if it is not None and it.model is not None]


def _relations(count: int, graph: TripleSet | None) -> tuple[list[int], list[str]]:
    """Relations by decreasing number of training triples, and their names by id."""
    if graph is None:
        return list(range(count)), [f"relation {r}" for r in range(count)]
    triples = np.bincount(graph.train[:, 1], minlength=count)
    order = np.argsort(-triples, kind="stable").tolist()
    return order, [graph.relation_label(r) for r in range(count)]
