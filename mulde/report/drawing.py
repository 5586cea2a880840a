"""Drawings as SVG text: axes, marks and labels without overlap. Colours are CSS classes of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mulde.report.lettering import shortened, text_width

LINE = 15.0  # height of a line of text


@dataclass(frozen=True)
class Axis:
    """Maps values low..high to pixels start..end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low or 1)

    def ticks(self, count: int = 6) -> list[float]:
        """Round values within the range."""
        powers = _log_ticks(self.low, self.high) if self.log else []
        return powers if len(powers) > 2 else _linear_ticks(self.low, self.high, count)


def around(values: Sequence[float], margin: float = 0.06, log: bool = False) -> tuple[float, float]:
    """A range slightly wider than the values."""
    low, high = min(values), max(values)
    if log:
        factor = max((high / low) ** margin, 1.15)
        return low / factor, high * factor
    room = margin * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


class Drawing:
    """SVG elements in drawing order. ``title`` is the tooltip of a mark, also read by screen readers."""

    def __init__(self, width: float, height: float, about: str) -> None:
        self.width, self.height, self.about = width, height, about
        self.parts: list[str] = []

    def add(self, tag: str, title: str = "", text: str | None = None, **attributes: object) -> None:
        """Add an element; ``class_`` is the attribute class, and underscores become hyphens."""
        written = " ".join(
            f'{name.rstrip("_").replace("_", "-")}="{escape(_number(value))}"' for name, value in attributes.items()
        )
        inside = (f"<title>{escape(title)}</title>" if title else "") + ("" if text is None else escape(text))
        self.parts.append(f"<{tag} {written}>{inside}</{tag}>" if inside else f"<{tag} {written}/>")

    def text(self, x: float, y: float, text: str, class_: str = "label", anchor: str = "start") -> None:
        """Add a line of text with its baseline at y."""
        self.add("text", x=x, y=y, class_=class_, text_anchor=anchor, text=text)

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        """Add a straight line."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)

    def curve(self, points: Sequence[tuple[float, float]], class_: str, title: str = "") -> None:
        """Add a line through points."""
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.add("path", title=title, d=path, class_=f"curve {class_}")

    def lines(self, x: float, middle: float, lines: Sequence[str], anchor: str = "start", title: str = "") -> None:
        """Add several lines of text, centred on the height ``middle``."""
        for i, line in enumerate(lines):
            y = middle + 4 + LINE * (i - (len(lines) - 1) / 2)
            self.add("text", title=title, x=x, y=y, class_="label", text_anchor=anchor, text=line)

    def interval(self, low: tuple[float, float], high: tuple[float, float], role: str) -> None:
        """Add an interval as a horizontal or vertical line with a bar at both ends."""
        across = (0, 4) if low[1] == high[1] else (4, 0)
        self.line(*low, *high, f"interval {role}")
        for x, y in (low, high):
            self.line(x - across[0], y - across[1], x + across[0], y + across[1], f"interval {role}")

    def mark(self, x: float, y: float, role: str, title: str = "", size: float = 6) -> None:
        """Add a mark in the shape and colour of a role."""
        self.add("path", title=title, d=_shape(role, size), transform=f"translate({x:.1f},{y:.1f})", class_=f"m {role}")

    def x_axis(self, axis: Axis, y: float, top: float, name: str, unit: str = "", count: int = 6) -> None:
        """Add ticks with grid lines up to ``top``, and the name below."""
        for value in axis.ticks(count):
            self.line(axis(value), y, axis(value), top, "grid")
            self.text(axis(value), y + 16, f"{value:g}{unit}", "tick", "middle")
        self.line(axis.start, y, axis.end, y, "axis")
        self.text((axis.start + axis.end) / 2, y + 34, name, "name", "middle")

    def y_axis(self, axis: Axis, x: float, right: float, name: str, count: int = 5) -> None:
        """Add ticks with grid lines up to ``right``, and the name above."""
        for value in axis.ticks(count):
            self.line(x, axis(value), right, axis(value), "grid")
            self.text(x - 7, axis(value) + 4, f"{value:g}", "tick", "end")
        self.text(x - 7, min(axis.start, axis.end) - 10, name, "name")

    def labels(self, wanted: Sequence[tuple[float, float, str, str]], left: float, right: float) -> None:
        """Add names (x, y, text, class) beside their marks, between ``left`` and ``right``.

        A name stands to the right of its mark, or to its left, or above or below it. Names that would overlap are moved
        up or down.
        """
        taken = [(x - 7, y - 7, x + 7, y + 7) for x, y, _, _ in wanted]
        for x, y, text, class_ in sorted(wanted, key=lambda label: label[1]):
            text = shortened(text, right - left)
            width = text_width(text)
            boxes = [
                (begin, middle - 7, begin + width, middle + 6)
                for away in range(12)
                for middle in (y + 13 * away, y - 13 * away)
                for begin in (x + 11, x - 11 - width, min(max(x - width / 2, left), right - width))
                if begin >= left and begin + width <= right and 4 <= middle <= self.height - 40
            ]
            free = [box for box in boxes if not any(_overlap(box, other) for other in taken)]
            if not (boxes := free or boxes):
                continue
            begin, top, end, _ = boxes[0]
            taken.append(boxes[0])
            if abs(top + 7 - y) > 20:
                self.line(x, y, min(max(x, begin), end), top + 7, "leader")
            at, anchor = (end, "end") if end < x else (begin, "start")
            self.text(at, top + 11, text, f"label {class_}", anchor)

    def svg(self) -> str:
        """The drawing as an SVG element."""
        head = f'<svg viewBox="0 0 {_number(self.width)} {_number(self.height)}" role="img"'
        return f'{head} aria-label="{escape(self.about)}">{"".join(self.parts)}</svg>'


def _shape(role: str, s: float) -> str:
    """Path of a mark: a shape for each role, so that roles differ without colour."""
    match role:
        case "junior":
            return f"M0,{-1.35 * s}L{1.35 * s},0L0,{1.35 * s}L{-1.35 * s},0Z"
        case "baseline":
            return f"M{-s},{-s}H{s}V{s}H{-s}Z"
        case "senior":
            return f"M0,{-1.2 * s}L{1.2 * s},{s}L{-1.2 * s},{s}Z"
        case "ensemble":
            return f"M0,{1.2 * s}L{1.2 * s},{-s}L{-1.2 * s},{-s}Z"
    return f"M{-s},0A{s},{s} 0 1 0 {s},0A{s},{s} 0 1 0 {-s},0Z"


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _linear_ticks(low: float, high: float, count: int) -> list[float]:
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    factors = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [factor * 10.0**power for power in powers for factor in factors]
    return [round(value, 10) for value in found if low <= value <= high]
