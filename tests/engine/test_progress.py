"""Progress of a fit: a bar in terminals and notebooks, a line of the log for each evaluation."""

from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from mulde.engine import OptimizerSpec, Trainer
from mulde.engine.progress import duration, in_notebook, progress_bar
from tests.engine.toys import Peers, ShuffledFeed


class Terminal(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def fit(**options: Any) -> None:
    values = iter([0.25, 0.5, 0.375, 0.125])
    Trainer(optimizers=OptimizerSpec("adam", lr=0.05), title="Junior", **options).fit(
        Peers(), ShuffledFeed(), epochs=4, select=("valid/mrr", "max"),
        evaluate=lambda method, clock: {"valid/mrr": next(values), "valid/other": 1.0},
    )  # fmt: skip


def test_a_line_for_each_evaluation(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mulde")
    fit()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("Junior: epoch 1, valid/mrr 0.2500, at most ")
    assert lines[-1] == "Junior: epoch 4, valid/mrr 0.1250" and len(lines) == 4


def test_an_end_inside_an_epoch_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mulde")
    feed = ShuffledFeed()
    Trainer().fit(Peers(), feed, steps=len(feed) + 1, evaluate=lambda method, clock: {"mrr": 1.0}, name="fit")
    lines = [record.getMessage().partition(", at most")[0] for record in caplog.records]
    assert lines == ["fit: epoch 1, mrr 1.0000", "fit: part of epoch 2, mrr 1.0000"]


def test_the_bar_shows_the_validation_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fit()
    assert "Junior" in terminal.getvalue() and "valid/mrr=0.5" in terminal.getvalue()


def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    fit()
    assert capsys.readouterr().err == ""


def test_a_notebook_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not in_notebook()
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook()
    assert not progress_bar("fit", 3, 0, None).disable
    assert progress_bar("fit", 3, 0, False).disable


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (89, "89 s"), (150, "2 min"), (9000, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
