"""The table by dimension says of every row with how many threads it was measured."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_threads_are_those_of_the_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    shutil.copytree(ROOT / "results/dimensions/wn18rr-8", tmp_path / "wn18rr-8")
    path = tmp_path / "wn18rr-8/summary.json"
    summary = json.loads(path.read_text())
    summary["settings"]["threads"] = 3
    path.write_text(json.dumps(summary))
    importlib.import_module("dimensions").write(tmp_path)
    title, _, head, _, row = (tmp_path / "table.md").read_text().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True))
    assert "thread" not in title and cells["threads"] == "3"
