from __future__ import annotations

from pathlib import Path

from mulde.kge.training import record_file


def test_records_are_added_once(tmp_path: Path) -> None:
    path = tmp_path / "deep/records.jsonl"
    assert record_file.append(path, {"run": "a"}, {"run": "b"}) == 2
    assert record_file.append(path, {"run": "b"}, {"run": "c"}) == 1
    assert [record["run"] for record in record_file.read(path)] == ["a", "b", "c"]


def test_a_file_whose_last_line_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"run": "a"}')
    record_file.append(path, {"run": "b"})
    assert [record["run"] for record in record_file.read(path)] == ["a", "b"]
