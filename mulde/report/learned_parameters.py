"""Figures of learned parameters: the Senior's gates and attention, the curvature of relations."""

from __future__ import annotations

import numpy as np
import torch

from kge_data.inverse import forward_id, num_internal, reciprocal_id
from kge_data.tripleset import TripleSet
from mulde.report.drawing import GLYPH, Drawing
from mulde.report.figure import Dot, Figure, dot_plot, line_plot, shortened
from mulde.report.runs import Run, Stage

INITIAL_GATE = 0.7310585786300049  # σ(1)
MOST = 30  # relations in a drawing
COLOURS = 8  # in the style of the page
TAIL, HEAD = "tail queries", "head queries"


def gates(run: Run, graph: TripleSet | None) -> Figure | None:
    """The Senior's gates as a heat map: relations in rows, teachers in columns, for both directions."""
    if run.senior is None:
        return None
    teachers, values = run.senior[0], run.senior[1].double().numpy()
    order, labels = _relations(len(values) // 2, graph)
    tail, head = values[0::2], values[1::2]
    drawn = order[:MOST]
    middle = float(values.mean())
    widest = max(float(np.abs(values - middle).max()), 1e-9)
    left = min(320.0, 18 + GLYPH * max(len(labels[r]) for r in drawn))
    columns = len(teachers)
    wide = min(74.0, (860 - left - 24) / (2 * columns))
    top, height = 62.0, 22.0
    width = left + 2 * columns * wide + 40
    drawing = Drawing(width, top + height * len(drawn) + 10, "The Senior's gates by relation and teacher")
    for side, (block, title) in enumerate(((tail, TAIL), (head, HEAD))):
        start = left + side * (columns * wide + 24)
        drawing.text(start + columns * wide / 2, 16, title, "name", "middle")
        for column, name in enumerate(teachers):
            for line, word in enumerate(shortened(name, 2 * wide).rsplit(" ", 1)):
                drawing.text(start + (column + 0.5) * wide, 36 + 14 * line, shortened(word, wide), "tick", "middle")
        for row, relation in enumerate(drawn):
            for column, name in enumerate(teachers):
                value = float(block[relation, column])
                away = value - middle
                drawing.add(
                    "rect", f"{labels[relation]}, {name}, {title}: {value:.4f}",
                    x=start + column * wide + 1, y=top + row * height + 1, width=wide - 2, height=height - 2, rx=3,
                    class_="cell up" if away >= 0 else "cell down", fill_opacity=0.85 * abs(away) / widest,
                )  # fmt: skip
                drawing.text(
                    start + (column + 0.5) * wide, top + row * height + 15, f"{value:.2f}", "cell-text", "middle"
                )
    for row, relation in enumerate(drawn):
        drawing.text(left - 9, top + row * height + 15, shortened(labels[relation], left), anchor="end")
    by_teacher = values.mean(0)
    most, least = int(by_teacher.argmax()), int(by_teacher.argmin())
    found = (
        f"Over all relations {teachers[most]} has the largest gates (mean {by_teacher[most]:.3f}) and "
        f"{teachers[least]} the smallest ({by_teacher[least]:.3f}); all gates are between {values.min():.2f} and "
        f"{values.max():.2f}."
        if columns > 1
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
    return Figure("Weight of each teacher by relation", about, found, [drawing.svg()], keys, rows)


def attention(run: Run) -> Figure | None:
    """Mean weight of each teacher in the attention over the epochs."""
    junior = run.junior
    lines = [line for line in (junior.log if junior else []) if "attention/0" in line]
    if junior is None or len(lines) < 2:
        return None
    count = sum(name.startswith("attention/") for name in lines[0])
    names = dict(enumerate(run.teachers))
    curves = [
        (
            names.get(i, f"teacher {i + 1}"),
            f"c{i % COLOURS}",
            [(line["epoch"], line[f"attention/{i}"]) for line in lines],
        )
        for i in range(count)
    ]
    epochs = junior.config.get("config", {}).get("tau_epochs")
    first = max(curves, key=lambda curve: curve[2][0][1])
    about = (
        "Weight of each teacher in the soft labels, averaged over training queries. The attention gives more weight to "
        "teachers whose scores are closer to the Junior's. Its temperature grows during training"
        + (f" (by a factor e every {epochs} epochs)" if epochs else "")
        + f", so all weights approach 1/{count}."
    )
    weight = first[2][0][1]
    found = f"At the first evaluation {first[0]} had the largest weight, {weight:.3f}"
    found += "; the weights were almost equal from the start." if weight - 1 / count < 0.02 else "."
    rows = [
        {"epoch": line["epoch"], **{name: dict(points)[line["epoch"]] for name, _, points in curves}} for line in lines
    ]
    drawing = line_plot(curves, "mean weight", "Weights of the teachers in the attention", height=320)
    return Figure("Attention over the teachers", about, found, [drawing], [], rows)


def curvature(run: Run, graph: TripleSet | None) -> Figure | None:
    """Curvature of each relation of the Junior, for both directions."""
    stage = run.junior or next((it for it in run.stages if it.model is not None), None)
    if stage is None or stage.model is None or not stage.model.scorer.hyperbolic():
        return None
    model = stage.model
    title = f"Curvature of {stage.name}"
    initial = model.config.initial_curvature
    if model.config.curvature != "per-relation":
        with torch.no_grad():
            value = model.curvature()
        assert value is not None
        source = "fixed" if model.config.curvature == "fixed" else f"learned, initially {initial:.2f}"
        return Figure(title, f"All relations share one curvature, {float(value):.3f} ({source}).")
    with torch.no_grad():
        learned = model.curvature(torch.arange(num_internal(model.num_relations)))
    assert learned is not None
    values = learned.double().numpy()
    order, labels = _relations(model.num_relations, graph)
    drawn = sorted(order[:MOST], key=lambda r: -float(values[forward_id(r)]))
    rows = [
        (
            labels[r],
            [
                Dot(float(values[forward_id(r)]), "tail", f"{labels[r]}, {TAIL}: {values[forward_id(r)]:.4f}", True),
                Dot(
                    float(values[reciprocal_id(r)]),
                    "head",
                    f"{labels[r]}, {HEAD}: {values[reciprocal_id(r)]:.4f}",
                    True,
                ),
            ],
        )
        for r in drawn
    ]
    drawing = dot_plot(rows, "curvature", "Curvature of each relation", reference=(initial, "initial"))
    table = [
        {
            "relation": labels[r],
            TAIL: float(values[forward_id(r)]),
            HEAD: float(values[reciprocal_id(r)]),
        }
        for r in order
    ]
    about = (
        "Each relation has its own curvature, for each direction. Space grows faster away from the centre at higher "
        "curvature, which suits tree-like relations; near 0 the space is almost flat. The line marks the initial value."
        + (f" Shown: the {MOST} relations with most training triples." if len(order) > MOST else "")
    )
    middle = np.median(values)
    found = f"Learned curvatures are between {values.min():.2f} and {values.max():.2f}; the median is {middle:.2f}."
    keys = [("tail", TAIL), ("head", HEAD)]
    return Figure(title, about, found, [drawing], keys, table)


def drawn_stages(run: Run) -> list[Stage]:
    """Stages whose entities are drawn: the Junior and the best teacher."""
    small = run.junior or next((it for it in run.stages if it.model is not None), None)
    teachers = [it for it in run.having("teacher") if it.model is not None and it.mrr is not None]
    best = max(teachers, key=lambda it: it.mrr or 0, default=None)
    return [it for it in (small, best) if it is not None and it.model is not None]


def _relations(count: int, graph: TripleSet | None) -> tuple[list[int], list[str]]:
    """Relations by decreasing number of training triples, and their names by id."""
    if graph is None:
        return list(range(count)), [f"relation {r}" for r in range(count)]
    triples = np.bincount(graph.train[:, 1], minlength=count)
    order = np.argsort(-triples, kind="stable").tolist()
    return order, [graph.relation_label(r) for r in range(count)]
