"""Drawings: axes reach their ends, ticks are round and inside, labels do not overlap."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from mulde.report.drawing import Axis, Drawing, around
from mulde.report.figure import NARROW, Dot, dot_plot, flat, line_plot
from mulde.report.lettering import text_width


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
        left = float(x) - (text_width(text) if anchor == "end" else 0)
        boxes.append((left, float(y), left + text_width(text)))
    assert len(boxes) == 6
    for i, (left, y, right) in enumerate(boxes):
        for other_left, other_y, other_right in boxes[:i]:
            assert abs(y - other_y) >= 12 or right <= other_left or other_right <= left


def test_a_name_that_fits_nowhere_beside_its_mark_stays_inside() -> None:
    drawing = Drawing(200, 300, "x")
    drawing.labels([(100, 100, "a name that is nearly as wide", "")], 0, 200)
    ((x, anchor),) = re.findall(r'<text x="([\d.]+)".*?text-anchor="(\w+)"', drawing.svg())
    assert anchor == "start" and 0 <= float(x) <= 200 - text_width("a name that is nearly as wide")


def test_an_interval_is_a_line_with_two_bars() -> None:
    html = dot_plot([("a", [Dot(0.5, "junior", "x", interval=(0.4, 0.7))])], "test MRR", "x")
    assert html.count('class="interval junior"') == 2 * 3  # in both drawings
    assert 'class="interval' not in dot_plot([("a", [Dot(0.5, "junior", "x")])], "test MRR", "x")


def test_drawings_are_well_formed_whatever_the_names() -> None:
    evil = 'a<b> & "c"'
    for html in (
        dot_plot([(evil, [Dot(0.2, "junior", evil, True), Dot(0.4, "baseline", evil, True)])], evil, evil),
        line_plot([(evil, "c0", [(0, 1.0), (5, 2.0)])], evil, evil),
    ):
        page, phone = ElementTree.fromstring(f"<body>{html}</body>")
        assert (page.attrib["class"], phone.attrib["class"]) == ("wide", "narrow")
        for svg in (page[0], phone[0]):
            assert svg.attrib["aria-label"] == evil
            assert any(element.text == evil for element in svg.iter("title")) or "line" in html


@pytest.mark.parametrize(
    "label", ["is_located_in_the_administrative_territorial_entity_that_contains_the_city_named", "位于以下行政" * 8]
)
def test_long_labels_are_whole_and_inside_at_both_widths(label: str) -> None:
    html = dot_plot(
        [(label, [Dot(1.0, "tail", "x"), Dot(9.0, "head", "x")])], "curvature", "x", reference=(9.0, "initial")
    )
    for drawing in ElementTree.fromstring(f"<body>{html}</body>"):
        width = float(drawing[0].attrib["viewBox"].split()[2])
        lines = [it for it in drawing.iter("text") if it.attrib["class"] == "label"]
        assert "".join("".join(it.itertext()).removeprefix(label) for it in lines) == label
        for it in drawing.iter("text"):
            text = list(it.itertext())[-1]
            before = {"start": 0.0, "middle": 0.5, "end": 1.0}[it.attrib["text-anchor"]] * text_width(text)
            assert float(it.attrib["x"]) - before >= 0, text
            assert float(it.attrib["x"]) - before + text_width(text) <= width, text


def test_a_phone_gets_a_drawing_of_its_own() -> None:
    html = line_plot([("a name of a model", "teacher", [(0, 1.0), (5, 2.0)])], "MRR", "x")
    assert f'<div class="narrow"><svg viewBox="0 0 {NARROW:g} ' in html


def test_what_is_flat() -> None:
    assert flat([0.5, 0.501, 0.5], 0.005) and not flat([0.5, 0.51], 0.005)
