"""Tables: one way to write a value, in text, Markdown and HTML."""

from __future__ import annotations

import pytest

from mulde.report.tables import cell, html_table, table, without_folders

ROWS = [{"model": "a<b", "MRR": 0.12345, "size": 1234}, {"model": "c", "MRR": None}]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.5, "0.5000"), (-0.123456, "-0.1235"), (1234.56, "1,234.6"), (1234, "1,234"), (True, "True")],
)
def test_values(value: object, text: str) -> None:
    assert cell(value) == text


def test_text_and_markdown() -> None:
    assert table(ROWS).splitlines() == [
        "model     MRR   size",
        "-----  ------  -----",
        "a<b    0.1235  1,234",
        "c           -      -",
    ]
    assert table(ROWS, markdown=True).splitlines()[:2] == ["| model |    MRR |  size |", "| ----- | -----: | ----: |"]


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ("/home/me/runs/big/", "big"),
        ("onnx:/home/me/big.onnx,mean=.5,std=.2", "onnx:big.onnx,mean=.5,std=.2"),
        ("../my_models.py:teacher", "my_models.py:teacher"),
        ("C:\\me\\big.zip", "C:big.zip"),
        (["resnet20", "resnet56:/a b/c.th"], ["resnet20", "resnet56:c.th"]),
        ({"teacher": ("/a/b",), "lr": 0.1}, {"teacher": ["b"], "lr": 0.1}),
    ],
)
def test_settings_without_folders(setting: object, shown: object) -> None:
    assert without_folders(setting) == shown


def test_columns_are_aligned_in_every_script() -> None:
    """A wide character takes two columns of a terminal, a combining mark none."""
    rows = [{"name": "東京", "city": "x"}, {"name": "Zu\u0308rich", "city": "Köln"}, {"name": "مصر", "city": "y"}]
    assert table(rows).splitlines()[2:] == ["東京    x", "Zu\u0308rich  Köln", "مصر     y"]


def test_html() -> None:
    page = html_table(ROWS, "x & y")
    assert page.startswith("<table><caption>x &amp; y</caption>") and "a&lt;b" in page
    assert page.count("<td") == 6 and '<td style="text-align: right">-</td>' in page
