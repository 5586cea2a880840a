"""Figures of a report: drawings, an explanation, findings, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mulde.report.drawing import GLYPH, Axis, Drawing, around
from mulde.report.runs import Stage

ROLES = {
    "junior": "Junior, distilled from the teachers",
    "baseline": "trained without distillation",
    "teacher": "teacher",
    "senior": "Senior: teachers weighted by relation",
    "ensemble": "teacher ensemble: sum of the scores",
}


@dataclass
class Figure:
    """One figure. ``about``: how to read it; ``found``: what it shows."""

    title: str
    about: str
    found: str = ""
    drawings: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    """(class of a mark, meaning)"""
    rows: list[dict[str, Any]] = field(default_factory=list)
    wide: bool = True
    """False: drawings are placed side by side."""


def keys(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """Roles of these stages, with their meanings."""
    return [(role, meaning) for role, meaning in ROLES.items() if any(stage.role == role for stage in stages)]


@dataclass(frozen=True)
class Dot:
    """A mark in a row of a dot plot."""

    value: float
    role: str
    title: str
    joined: bool = False
    """Connected to the other joined dots of its row, and drawn larger."""


def dot_plot(
    rows: Sequence[tuple[str, Sequence[Dot]]],
    name: str,
    about: str,
    *,
    span: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
) -> str:
    """One row of dots for each label.

    Parameters
    ----------
    rows
        (label, dots).
    name
        Name of the axis.
    about
        Description for screen readers.
    span
        Range of the axis; None: from the values.
    reference
        A vertical line (value, label).
    """
    left = min(330.0, 18 + GLYPH * max((len(label) for label, _ in rows), default=0))
    top, height, right = 16.0, 23.0, 858.0
    bottom = top + height * len(rows)
    drawing = Drawing(880, bottom + 42, about)
    values = [dot.value for _, dots in rows for dot in dots] + ([reference[0]] if reference else [])
    axis = Axis(*(span or around(values)), left, right)
    drawing.x_axis(axis, bottom, top, name, count=9)
    if reference:
        drawing.line(axis(reference[0]), bottom, axis(reference[0]), top, "reference")
        drawing.text(axis(reference[0]), top - 4, reference[1], "tick", "middle")
    for i, (label, dots) in enumerate(rows):
        y = top + height * (i + 0.5)
        drawing.text(left - 9, y + 4, shortened(label, left), anchor="end")
        joined = [axis(dot.value) for dot in dots if dot.joined]
        if len(joined) > 1:
            drawing.line(min(joined), y, max(joined), y, "join")
        for dot in sorted(dots, key=lambda dot: dot.joined):
            drawing.mark(axis(dot.value), y, dot.role, dot.title, 6 if dot.joined else 4)
    return drawing.svg()


def line_plot(
    lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    y_name: str,
    about: str,
    *,
    x_name: str = "epoch",
    width: float = 880,
    height: float = 360,
    named: bool = True,
    span: tuple[float, float] | None = None,
) -> str:
    """Lines (name, class, points), each with its name at its end if ``named``."""
    longest = max((len(name) for name, _, _ in lines), default=0)
    right = width - (24 + GLYPH * longest if named else 14)
    drawing = Drawing(width, height, about)
    xs = [x for _, _, points in lines for x, _ in points]
    x = Axis(0, max(xs), 52, right)
    y = Axis(*(span or around([value for _, _, points in lines for _, value in points])), height - 48, 32)
    drawing.x_axis(x, height - 48, 32, x_name, count=6)
    drawing.y_axis(y, 52, right, y_name)
    ends = []
    for name, kind, points in lines:
        at = [(x(step), y(value)) for step, value in points]
        drawing.curve(at, kind, f"{name}: from {points[0][1]:.4g} to {points[-1][1]:.4g}")
        ends.append((at[-1][0], at[-1][1], name, kind))
    if named:
        drawing.labels([(a - 4, b, name, kind) for a, b, name, kind in ends], 0, 2 * width, beside="right")
    return drawing.svg()


def shortened(label: str, width: float) -> str:
    """A name cut in its middle to fit this many pixels."""
    room = max(8, int((width - 14) / GLYPH))
    if len(label) <= room:
        return label
    half = (room - 1) // 2
    return f"{label[:half]}…{label[-(room - 1 - half) :]}"
