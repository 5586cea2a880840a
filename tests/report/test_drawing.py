"""Drawings: axes reach their ends, ticks are round and inside, labels do not overlap."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from mulde.report.drawing import GLYPH, Axis, Drawing, around
from mulde.report.figure import Dot, dot_plot, line_plot, shortened


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_goes_from_end_to_end(log: bool) -> None:
    axis = Axis(0.5, 40.0, 10, 210, log)
    assert (axis(0.5), axis(40.0)) == (pytest.approx(10), pytest.approx(210))
    assert 10 < axis(2.0) < axis(7.0) < 210


def test_a_log_axis_gives_equal_ratios_equal_room() -> None:
    axis = Axis(1, 100, 0, 100, log=True)
    assert axis(10) == pytest.approx(50)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0.31, 0.87, False), (0.004, 3.0, True), (0.31, 0.33, True), (5, 5, False)]
)
def test_ticks_lie_inside_and_are_round(low: float, high: float, log: bool) -> None:
    ticks = Axis(low, high, 0, 1, log).ticks()
    assert ticks and all(low <= tick <= high for tick in ticks)
    assert all(len(f"{tick:g}") <= 5 for tick in ticks)


def test_a_range_around_equal_values_is_not_empty() -> None:
    for log in (False, True):
        low, high = around([2.0, 2.0], log=log)
        assert low < 2 < high


def test_names_keep_apart() -> None:
    drawing = Drawing(400, 300, "x")
    drawing.labels([(100, 100 + i, f"name {i}", "") for i in range(6)], 0, 400)
    texts = re.findall(r'<text x="([\d.]+)" y="([\d.]+)".*?text-anchor="(\w+)">([^<]+)<', drawing.svg())
    boxes = []
    for x, y, anchor, text in texts:
        left = float(x) - (GLYPH * len(text) if anchor == "end" else 0)
        boxes.append((left, float(y), left + GLYPH * len(text)))
    assert len(boxes) == 6
    for i, (left, y, right) in enumerate(boxes):
        for other_left, other_y, other_right in boxes[:i]:
            assert abs(y - other_y) >= 12 or right <= other_left or other_right <= left


def test_drawings_are_well_formed_whatever_the_names() -> None:
    evil = 'a<b> & "c"'
    for svg in (
        dot_plot([(evil, [Dot(0.2, "junior", evil, True), Dot(0.4, "baseline", evil, True)])], evil, evil),
        line_plot([(evil, "c0", [(0, 1.0), (5, 2.0)])], evil, evil),
    ):
        root = ElementTree.fromstring(svg)
        assert root.attrib["aria-label"] == evil
        assert any(element.text == evil for element in root.iter("title")) or "line" in svg


def test_a_long_name_keeps_both_ends() -> None:
    assert shortened("short", 200) == "short"
    cut = shortened("/film/film/genre/of/a/very/long/relation/name", 150)
    assert cut.startswith("/film") and cut.endswith("name") and len(cut) * GLYPH <= 150
