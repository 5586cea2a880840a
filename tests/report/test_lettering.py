"""Text in drawings: widths, lines, cuts; names in other scripts and unprintable names."""

from __future__ import annotations

import pytest

from mulde.report.lettering import isolated, shortened, text_width, wrapped

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
NAMES = [
    "/film/film/genre/of/a/very/long/relation/name" * 2,
    "位于以下行政区划单位之内的地理位置" * 3,
    FAMILY * 30,
    "A" * 90,
]


def test_wide_letters_take_more_room_and_marks_none() -> None:
    assert text_width("東京") > 1.5 * text_width("ab")
    assert text_width("e\u0301") == text_width("e") and text_width("WWW") > text_width("iii")


@pytest.mark.parametrize("name", NAMES)
def test_a_long_name_keeps_both_ends(name: str) -> None:
    cut = shortened(name, 150)
    assert text_width(cut) <= 150 and cut[0] == name[0] and cut[-1] == name[-1] and "…" in cut
    assert shortened("short", 200) == "short"


@pytest.mark.parametrize("name", NAMES)
def test_lines_fit_and_none_is_lost(name: str) -> None:
    lines = wrapped(name, 200, most=12)
    assert all(text_width(line) <= 200 for line in lines) and "".join(lines) == name
    lines = wrapped(name, 90, most=3)
    assert len(lines) <= 3 and all(text_width(line) <= 90 for line in lines)


def test_lines_end_after_underscores_and_spaces_not_inside_emoji() -> None:
    assert wrapped("is_located_in the_city", 90) == ["is_located_in", "the_city"]
    assert all(line.startswith("\U0001f469") for line in wrapped(FAMILY * 3, 30))


def test_arabic_does_not_turn_the_text_around_it() -> None:
    assert isolated("virus") == "virus" and isolated("بيروت") == "\u2068بيروت\u2069"
    assert isolated("a\n\u202eb") == "a\\n\\u202eb"
