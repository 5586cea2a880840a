"""Figures of a report: drawings, an explanation, findings, and the numbers behind them.

Every drawing is made twice, for a page and for a phone; the style of the page shows one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mulde.report.drawing import LINE, Axis, Drawing, around
from mulde.report.lettering import text_width, wrapped
from mulde.report.runs import Stage

ROLES = {
    "junior": "Junior, distilled from the teachers",
    "baseline": "trained without distillation",
    "teacher": "teacher",
    "senior": "Senior: teachers weighted by relation",
    "ensemble": "teacher ensemble: sum of the scores",
}
INTERVAL = ("interval", "95 % interval of the MRR: bootstrap over test triples, without other seeds")
WIDE, NARROW = 880.0, 360.0  # pixels


@dataclass
class Figure:
    """One figure.

    Parameters
    ----------
    about
        How to read it; ``found``: what it shows.
    """

    title: str
    about: str
    found: str = ""
    drawings: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    """The legend: (class of a mark, meaning)."""
    legend: str = "Models"
    """Title of the legend."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    beside: bool = False
    """Whether the drawings are placed side by side."""


@dataclass
class Listing:
    """A table that is shown as a whole.

    Parameters
    ----------
    about
        How to read it.
    """

    title: str
    about: str
    rows: list[dict[str, Any]]


def keys(stages: Sequence[Stage], kind: str = "") -> list[tuple[str, str]]:
    """Roles of these stages, with their meanings. ``kind`` is "line" for curves."""
    return [
        (f"{kind} {role}".strip(), meaning) for role, meaning in ROLES.items() if any(it.role == role for it in stages)
    ]


def for_page_and_phone(draw: Callable[[float], Drawing]) -> str:
    """A drawing at both widths, as HTML."""
    return f'<div class="wide">{draw(WIDE).svg()}</div><div class="narrow">{draw(NARROW).svg()}</div>'


@dataclass(frozen=True)
class Dot:
    """A mark in a row of a dot plot."""

    value: float
    role: str
    title: str
    joined: bool = False
    """Connected to the other joined dots of its row, and drawn larger."""
    interval: tuple[float, float] | None = None
    """95 % interval of the value, drawn as a line with a bar at both ends."""


def dot_plot(
    rows: Sequence[tuple[str, Sequence[Dot]]],
    name: str,
    about: str,
    *,
    span: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
) -> str:
    """One row of dots for each label. On a phone the label is above the dots.

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
    values = [dot.value for _, dots in rows for dot in dots] + ([reference[0]] if reference else [])
    values += [end for _, dots in rows for dot in dots if dot.interval for end in dot.interval]
    ends = span or around(values)

    def draw(width: float) -> Drawing:
        beside = width == WIDE
        left = min(330.0, 18 + max((text_width(label) for label, _ in rows), default=0)) if beside else 14.0
        labels = [wrapped(label, left - 18 if beside else width - 12) for label, _ in rows]
        heights = [max(23, LINE * len(lines) + 8) if beside else LINE * len(lines) + 27 for lines in labels]
        top = 16.0
        bottom = top + sum(heights)
        drawing = Drawing(width, bottom + 42, about)
        axis = Axis(*ends, left, width - 22)
        drawing.x_axis(axis, bottom, top, name, count=9 if beside else 4)
        if reference:
            at = axis(reference[0])
            drawing.line(at, bottom, at, top, "reference")
            drawing.text(at, top - 4, reference[1], "tick", "middle")
        for (label, dots), lines, height in zip(rows, labels, heights, strict=True):
            y = top + height / 2 if beside else top + height - 18
            if beside:
                drawing.lines(left - 9, y, lines, "end", label)
            else:
                drawing.lines(6, top + LINE * len(lines) / 2, lines, "start", label)
            _row(drawing, axis, y, dots)
            top += height
        return drawing

    return for_page_and_phone(draw)


def _row(drawing: Drawing, axis: Axis, y: float, dots: Sequence[Dot]) -> None:
    joined = [axis(dot.value) for dot in dots if dot.joined]
    if len(joined) > 1:
        drawing.line(min(joined), y, max(joined), y, "join")
    for dot in sorted(dots, key=lambda dot: (dot.joined, dot.role == "junior")):
        if dot.interval:
            low, high = map(axis, dot.interval)
            drawing.interval((low, y), (high, y), dot.role)
        drawing.mark(axis(dot.value), y, dot.role, dot.title, 6 if dot.joined else 4)


def line_plot(
    lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    y_name: str,
    about: str,
    *,
    x_name: str = "epoch",
    height: float = 360,
) -> str:
    """Lines (name, class, points), each with its name at its end."""

    def draw(width: float) -> Drawing:
        room = min(24 + max((text_width(name) for name, _, _ in lines), default=0), 320.0) if width == WIDE else 16.0
        return _curves(lines, y_name, about, x_name, width, height if width == WIDE else 300.0, room, True)

    return for_page_and_phone(draw)


def small_plot(name: str, kind: str, points: Sequence[tuple[float, float]]) -> str:
    """One line over the epochs, for several plots side by side."""
    return _curves([(name, kind, points)], name, name, "epoch", 420, 250, 14, False).svg()


def _curves(
    lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    y_name: str,
    about: str,
    x_name: str,
    width: float,
    height: float,
    room: float,
    named: bool,
) -> Drawing:
    drawing = Drawing(width, height, about)
    x = Axis(0, max(at for _, _, points in lines for at, _ in points), 52, width - room)
    y = Axis(*around([value for _, _, points in lines for _, value in points]), height - 48, 32)
    drawing.x_axis(x, height - 48, 32, x_name, count=6)
    drawing.y_axis(y, 52, width - room, y_name)
    ends = []
    for name, kind, points in lines:
        at = [(x(step), y(value)) for step, value in points]
        drawing.curve(at, kind, f"{name}: from {points[0][1]:.4g} to {points[-1][1]:.4g}")
        ends.append((at[-1][0] - 4, at[-1][1], name, kind))
    if named:
        drawing.labels(ends, 56, width - 2)
    return drawing


def flat(values: Sequence[float], least: float) -> bool:
    """Whether values differ by less than ``least``, so that a drawing of them shows nothing."""
    return max(values) - min(values) < least


def by_epoch(log: Sequence[dict[str, Any]], term: str) -> list[tuple[float, float]]:
    """A term averaged over each epoch. A line of the log holds the mean since the previous line."""
    sums: dict[int, list[float]] = {}
    before = 0
    for line in log:
        if term in line:
            total = sums.setdefault(line["epoch"], [0.0, 0])
            total[0] += (line["step"] - before) * line[term]
            total[1] += line["step"] - before
            before = line["step"]
    return [(float(epoch), total / steps) for epoch, (total, steps) in sums.items() if steps]
