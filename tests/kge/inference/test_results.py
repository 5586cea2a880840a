"""Results print as tables, in text, HTML and pandas, and stay lists."""

from __future__ import annotations

import sys

import pytest

from mulde.errors import UsageError
from mulde.kge.inference.results import Answer, Answers, Neighbour, Neighbours

ROWS = [Answer(1, "Q1", "Anna <b>", 0.25, "train"), Answer(3, "Q2", "Q2", -12.5, None)]
ANSWERS = Answers(ROWS, "(Carl, knows, ?)")
NEAR = Neighbours([Neighbour(1, "a", "a", 0.5)], "Carl")


def test_they_are_lists() -> None:
    assert ANSWERS == ROWS and list(ANSWERS) == ROWS and ANSWERS[1:] == ROWS[1:] and len(ANSWERS) == 2
    assert not Answers() and NEAR[0].identifier == "a"


def test_text() -> None:
    assert repr(ANSWERS).splitlines() == [
        "(Carl, knows, ?)",
        "rank  answer    id   score  known",
        "----  --------  --  ------  -----",
        "   1  Anna <b>  Q1  0.2500  train",
        "   3  Q2        Q2   -12.5  new",
    ]
    assert repr(Answers(query="(a, b, ?)")) == "(a, b, ?)\n(no answers)"
    assert repr(NEAR).splitlines()[:2] == ["nearest to Carl", "rank  entity  distance"]  # identifiers equal names
    assert Neighbours().table() == "(no other entity)"


def test_html_is_escaped() -> None:
    page = ANSWERS._repr_html_()
    assert "Anna &lt;b&gt;" in page and "<b>" not in page and page.count("<tr>") == 3
    assert "<caption>(Carl, knows, ?)</caption>" in page and "nearest to Carl" in NEAR._repr_html_()


def test_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = ANSWERS.to_pandas()
    assert frame["score"].tolist() == [0.25, -12.5] and frame["identifier"].tolist() == ["Q1", "Q2"]
    assert list(Answers().to_pandas().columns) == list(frame.columns)
    assert isinstance(NEAR.to_pandas(), pandas.DataFrame) and NEAR.to_pandas()["distance"].tolist() == [0.5]


def test_a_missing_pandas_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="to_pandas needs pandas, which is not installed; `pip install pandas`"):
        ANSWERS.to_pandas()
