"""The table of the presets takes means over the seeds on record, and an arm without a record has no row."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_rows_are_means_of_what_is_on_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    out = tmp_path / "wn18rr"
    for seed, mrr in enumerate((0.25, 0.75)):
        place = out / f"recommended-all-asked-{seed}"
        shutil.copytree(ROOT / "results/dimensions/wn18rr-8", place)
        test = json.loads((place / "test.json").read_text())
        test["embeddings_only"]["mrr"] = mrr
        (place / "test.json").write_text(json.dumps(test))
    importlib.import_module("presets").write(out, "wn18rr", "4m")
    [row] = json.loads((out / "table.json").read_text())["rows"]
    assert (row["preset"], row["seeds"], row["vectors"], row["least"]) == ("recommended, all asked", 2, 0.5, 0.25)
    assert row["sd"] == pytest.approx(0.125**0.5)
