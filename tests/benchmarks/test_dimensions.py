"""The table by dimension shows the threads of each record."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import records
from benchmarks.quality import dimensions

ROOT = Path(__file__).resolve().parents[2]


def test_threads_are_those_of_the_record(tmp_path: Path) -> None:
    [record] = [it for it in records.read(ROOT / "results/dimensions") if it["run"] == "wn18rr-8"]
    records.write(tmp_path, [{**record, "threads": 3}])
    dimensions.write_table(tmp_path)
    title, _, head, _, row = (tmp_path / "table.md").read_text().splitlines()
    cells = dict(zip(*([cell.strip() for cell in line.split("|")] for line in (head, row)), strict=True))
    assert "thread" not in title and cells["threads"] == "3"
