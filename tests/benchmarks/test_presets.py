"""The table of the presets has means over the recorded seeds, and no row for a variant without a record."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import records
from benchmarks.quality import presets

ROOT = Path(__file__).resolve().parents[2]


def test_rows_are_means_over_recorded_seeds(tmp_path: Path) -> None:
    record = records.read(ROOT / "results/dimensions")[0]
    variant = "recommended, query fraction 1"
    for seed, mrr in enumerate((0.25, 0.75)):
        metrics = {**record["metrics"], "embeddings_only": {**record["metrics"]["embeddings_only"], "mrr": mrr}}
        records.append(tmp_path, {**record, "variant": variant, "seed": seed, "metrics": metrics})
    presets.write_table(tmp_path, "wn18rr", "4m")
    *_, head, _, row = (tmp_path / "table.md").read_text().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True))
    assert (cells["preset"], cells["seeds"], cells["MRR"], cells["min"]) == (variant, "2", "0.5000", "0.2500")
    assert float(cells["sd"]) == pytest.approx(0.125**0.5, abs=1e-4)
