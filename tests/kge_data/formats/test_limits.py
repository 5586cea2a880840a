"""Files that expand to too much, and too long lines, are refused while they are read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

import kge_data
from kge_data.errors import DataError
from kge_data.formats import csv, tsv
from kge_data.layout import Layout, named

FACTS = b"".join(b"e%d\tr\te%d\n" % (head, tail) for head in range(12) for tail in range(12))

TRIPLE = {
    ".tsv": b"a\tr\tb\n",
    ".csv": b"a,r,b\n",
    ".nt": b"<u:a> <u:r> <u:b> .\n",
    ".ttl": b"<u:a> <u:r> <u:b> .\n",
    ".parquet": b"PAR1",
}


def _zst(content: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("zstandard").compress(content)
    return compressed


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".nt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_line_that_is_too_long(tmp_path: Path, ending: str, encoding: str) -> None:
    path = tmp_path / f"graph{ending}"
    path.write_text("\n\n" + "x" * (1 << 21), encoding=encoding)
    with pytest.raises(DataError, match=r"line that begins at byte 3 is longer than 1 MB; .* KGE_DATA_LINE_MB"):
        kge_data.load(path)


@pytest.mark.parametrize("length", [99, 100, 101])
def test_the_limit_of_a_line_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setenv("KGE_DATA_LINE_MB", str(100 / (1 << 20)))
    (tmp_path / "graph.tsv").write_bytes(FACTS + b"a\tr\t".ljust(length, b"x") + b"\n" + FACTS)
    if length <= 100:
        assert kge_data.load(tmp_path / "graph.tsv").num_entities == 14
    else:
        with pytest.raises(DataError, match=f"begins at byte {len(FACTS) + 1:,} is longer"):
            kge_data.load(tmp_path / "graph.tsv")


def test_a_longer_line_where_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graph.tsv").write_bytes(FACTS.replace(b"e11", b"x" * (1 << 20)))
    with pytest.raises(DataError, match="KGE_DATA_LINE_MB"):
        kge_data.load(tmp_path / "graph.tsv")
    monkeypatch.setenv("KGE_DATA_LINE_MB", "inf")
    assert kge_data.load(tmp_path / "graph.tsv").num_entities == 12


@pytest.mark.parametrize("variable", ["KGE_DATA_LINE_MB", "KGE_DATA_EXPANSION", "KGE_DATA_CACHE_GB"])
@pytest.mark.parametrize("value", ["much", "-1", "nan"])
def test_limits_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setattr("kge_data.cache.MIN_BYTES", 0)
    monkeypatch.setattr("kge_data.formats._compressed.SMALL", 0)
    monkeypatch.setenv(variable, value)
    (tmp_path / "graph.tsv.gz").write_bytes(gzip.compress(FACTS))
    with pytest.raises(DataError, match=f"^{variable} should be a number of .* got '{value}'"):
        kge_data.load(tmp_path / "graph.tsv.gz")


@pytest.mark.parametrize("compress", [gzip.compress, _zst])
@pytest.mark.parametrize("ending", TRIPLE)
def test_a_file_that_expands_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("kge_data.formats._compressed.SMALL", 1 << 16)
    path = tmp_path / f"graph{ending}.{'gz' if compress is gzip.compress else 'zst'}"
    path.write_bytes(compress(TRIPLE[ending] * (1 << 17)))
    with pytest.raises(DataError, match=r"bytes expand to more than 50 times as many; .* KGE_DATA_EXPANSION"):
        kge_data.load(path)


def test_a_file_that_may_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kge_data.formats._compressed.SMALL", 1 << 10)
    (tmp_path / "graph.tsv.gz").write_bytes(gzip.compress(FACTS * 100))
    with pytest.raises(DataError, match="KGE_DATA_EXPANSION"):
        kge_data.load(tmp_path / "graph.tsv.gz")
    monkeypatch.setenv("KGE_DATA_EXPANSION", "1000")
    assert kge_data.load(tmp_path / "graph.tsv.gz").num_entities == 12


@pytest.mark.parametrize("before", ["", "\n", "\n\r\n  \n", "# made by hand, in May\n\n#\n", "\ufeff\n"])
@pytest.mark.parametrize(("module", "comma"), [(tsv, "\t"), (csv, ",")])
@pytest.mark.parametrize("header", [True, False])
def test_blank_lines_and_comments_before_a_table(
    tmp_path: Path, before: str, module: object, comma: str, header: bool
) -> None:
    assert module in (tsv, csv)
    path = tmp_path / ("graph.tsv" if module is tsv else "graph.csv")
    lines = [["tail", "head", "relation"]] * header + [["b", "#a", "r"] if header else ["#a", "r", "b"]]
    path.write_text(before + "".join(comma.join(line) + "\n" for line in [*lines, lines[-1][:2]]), newline="")
    reader = tsv if module is tsv else csv
    layout = named(reader.first_row(path), str(path)) or Layout()
    triples = []
    wrong = before.count("\n") + len(lines) + 1
    with pytest.raises(DataError, match=f"line {wrong}: expected 3 "):
        for block in reader.read(path, layout):
            triples += list(zip(*block, strict=True))
    path.write_text(before + "".join(comma.join(line) + "\n" for line in lines), newline="")
    triples = [row for block in reader.read(path, layout) for row in zip(*block, strict=True)]
    assert triples == [("#a", "r", "b")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.tsv", b"\n" * 10_001, "the first 10,000 lines are blank or comments"),
        ("g.csv", b"#\n" * 10_001, "the first 10,000 lines are blank or comments"),
        ("g.csv", b'"a\n",' * 10_002, "line 1: a record of over 10,000 lines"),
    ],
)
def test_endless_beginnings_and_records(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        kge_data.load(tmp_path / name)


def test_a_long_text_that_all_rows_of_a_parquet_file_share(tmp_path: Path) -> None:
    """The dictionary of a column holds it once; as text it would take 2 MB in each row."""
    arrow = pytest.importorskip("pyarrow")
    tails = arrow.DictionaryArray.from_arrays([0] * 60_000, ["x" * (1 << 21)])
    table = arrow.table({"head": ["a"] * 60_000, "relation": ["r"] * 60_000, "tail": tails})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "graph.parquet")
    with pytest.raises(DataError, match=r"at most 1 MB, found one of 2,097,152 bytes; KGE_DATA_LINE_MB"):
        kge_data.load(tmp_path / "graph.parquet")
