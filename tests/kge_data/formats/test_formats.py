"""Every format and compression gives the same graph."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import kge_data
from kge_data.errors import DataError

FACTS = {
    "train": [("http://x/a", "http://x/r", "http://x/b"), ("http://x/b", "http://x/s", "http://x/ä")],
    "valid": [("http://x/a", "http://x/s", "http://x/b")],
    "test": [("http://x/ä", "http://x/r", "http://x/a")],
}


def _tsv(facts: list[tuple[str, str, str]]) -> bytes:
    return "".join("\t".join(fact) + "\n" for fact in facts).encode()


def _csv(facts: list[tuple[str, str, str]]) -> bytes:
    return b"head,relation,tail\r\n" + _tsv(facts).replace(b"\t", b",")


def _nt(facts: list[tuple[str, str, str]]) -> bytes:
    return "".join(f"<{h}> <{r}> <{t}> .\n" for h, r, t in facts).encode()


def _ttl(facts: list[tuple[str, str, str]]) -> bytes:
    lines = [f"<{h}> <{r}> x:{t.removeprefix('http://x/')} .\n" for h, r, t in facts]
    return "".join(["@prefix x: <http://x/> .\n", *lines]).encode()


def _parquet(facts: list[tuple[str, str, str]]) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    buffer = io.BytesIO()
    columns = [list(column) for column in zip(*facts, strict=True)]
    parquet.write_table(arrow.table(dict(zip(("head", "relation", "tail"), columns, strict=True))), buffer)
    return buffer.getvalue()


def _zst(content: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("zstandard").compress(content)
    return compressed


WRITERS = {".txt": _tsv, ".tsv": _tsv, ".csv": _csv, ".nt": _nt, ".ttl": _ttl, ".parquet": _parquet}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".zst": _zst,
}


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("ending", WRITERS)
def test_the_same_graph(tmp_path: Path, ending: str, packed: str) -> None:
    if ending in (".nt", ".ttl"):
        pytest.importorskip("pyoxigraph")
    for split, facts in FACTS.items():
        (tmp_path / f"{split}{ending}{packed}").write_bytes(PACKERS[packed](WRITERS[ending](facts)))
    assert kge_data.load(tmp_path).checksum == kge_data.from_triples(*FACTS.values()).checksum


@pytest.mark.parametrize("packed", [".gz", ".zst"])
@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_truncated_file_is_noticed(tmp_path: Path, packed: str, kept: float) -> None:
    content = PACKERS[packed](b"".join(b"a%d\tr\tb%d\n" % (number % 991, number) for number in range(20_000)))
    (tmp_path / f"graph.tsv{packed}").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="the compressed data are damaged or cut off"):
        kge_data.load(tmp_path / f"graph.tsv{packed}")


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_at_all(tmp_path: Path, packed: str) -> None:
    _ = PACKERS[packed](b"")
    (tmp_path / f"graph.tsv{packed}").write_bytes(b"a\tr\tb\n")
    with pytest.raises(DataError, match="the compressed data are damaged or cut off"):
        kge_data.load(tmp_path / f"graph.tsv{packed}")


def test_several_zstandard_frames_are_one_file(tmp_path: Path) -> None:
    for split, facts in FACTS.items():
        content = b"".join(_zst(_tsv([fact])) for fact in facts)
        (tmp_path / f"{split}.tsv.zst").write_bytes(content)
    assert len(kge_data.load(tmp_path).train) == 2


@pytest.mark.parametrize(
    ("module", "ending"), [("pyoxigraph", ".nt"), ("pyarrow", ".parquet"), ("zstandard", ".txt.zst")]
)
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, ending: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"graph{ending}").write_bytes(b"x")
    with pytest.raises(DataError, match=f"needs the package {module}; `pip install {module}`"):
        kge_data.load(tmp_path / f"graph{ending}")


def _table(tmp_path: Path, **columns: list[object]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), tmp_path / "graph.parquet")
    return tmp_path / "graph.parquet"


def _grid() -> list[tuple[int, int]]:
    return [(h, t) for h in range(12) for t in range(12)]


def test_parquet_columns_by_name_among_others(tmp_path: Path) -> None:
    heads, tails = zip(*_grid(), strict=True)
    file = _table(
        tmp_path, weight=[0.5] * 144, Object=list(map(str, tails)), subject=list(heads), predicate=["r"] * 144
    )
    graph = kge_data.load(file)
    assert graph.entities == tuple(sorted(str(number) for number in range(12)))
    assert graph.relations == ("r",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": ["x"], "b": ["y"]}, "expected columns for head, relation and tail, found a, b; add a column"),
        ({"head": ["x"], "relation": [0.5], "tail": ["y"]}, "column relation holds double; expected text"),
        (
            {"head": ["x", None], "relation": ["r", "r"], "tail": ["y", "z"]},
            "row 2: head is missing or empty: None, 'r', 'z'; give it a label or remove the row",
        ),
        ({"head": ["x"], "relation": ["r"], "tail": [""]}, "row 1: tail is missing or empty"),
    ],
)
def test_bad_parquet(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        kge_data.load(_table(tmp_path, **columns))


@pytest.mark.parametrize("names", [("head", "relation", "tail", "HEAD"), ("head", "relation", "tail", "head")])
def test_parquet_columns_of_one_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    heads, tails = zip(*_grid(), strict=True)
    columns = [arrow.array(column) for column in (heads, ["r"] * 144, tails, [-1 - head for head in heads])]
    parquet.write_table(arrow.Table.from_arrays(columns, names=names), tmp_path / "graph.parquet")
    with pytest.raises(
        DataError, match=rf"graph\.parquet: 'head' and '{names[3]}' could both be the head; .*positions"
    ):
        kge_data.load(tmp_path / "graph.parquet")
    assert kge_data.load(tmp_path / "graph.parquet", columns="1,2,3").num_entities == 12
    assert kge_data.load(tmp_path / "graph.parquet", columns="4,2,3").num_entities == 24


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([{"x": 1}], None, "column head holds struct<x: int64>; expected text"),
        ([["x"]], None, "column head holds list<.*>; expected text"),
        ([[("x", "y")]], "map_", "column head holds map<.*>; expected text"),
        ([b"\xff"], None, "column head holds binary; expected text"),
        ([True], None, "column head holds bool; expected text"),
        ([None], None, "row 1: head is missing or empty: None"),
    ],
)
def test_parquet_types(tmp_path: Path, values: list[object], kind: str | None, message: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    array = arrow.array(values, arrow.map_(arrow.string(), arrow.string()) if kind else None)
    with pytest.raises(DataError, match=rf"graph\.parquet.*{message}"):
        kge_data.load(_table(tmp_path, head=array, relation=["r"], tail=["t"]))


def test_a_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    ends = arrow.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]))
    array = arrow.Array.from_buffers(arrow.string(), 2, [None, ends, arrow.py_buffer(b"ab\xff")])
    with pytest.raises(DataError, match=r"graph\.parquet, row 2: byte 2 of column head is not valid UTF-8: 'b\\xff'"):
        kge_data.load(_table(tmp_path, head=array, relation=["r"] * 2, tail=["t"] * 2))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9, b"head,relation,tail\n", b"PAR1" + bytes(99) + b"PAR1"])
def test_a_file_that_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "graph.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"graph\.parquet: not a complete Parquet file \(.*\); write or copy it again"):
        kge_data.load(tmp_path / "graph.parquet")


def test_parquet_without_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected columns for head, relation and tail, found none; add a column"):
        kge_data.load(_table(tmp_path))


@pytest.mark.parametrize("ending", [".txt", ".csv", ".nt", ".ttl", ".parquet"])
def test_repeated_triples_are_told_in_every_format(tmp_path: Path, ending: str) -> None:
    for split, facts in FACTS.items():
        repeated = facts + facts[:1] if split == "train" else facts
        (tmp_path / f"{split}{ending}").write_bytes(WRITERS[ending](repeated))
    graph = kge_data.load(tmp_path)
    assert len(graph.train) == 3
    assert graph.reading is not None
    assert graph.reading.warnings == ("train contains 1 repeated triples; remove the repetitions.",)


def test_rows_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kge_data.formats.parquet.ROWS_PER_BLOCK", 2)
    file = _table(tmp_path, a=["x"] * 5, b=["r"] * 5, c=["y"] * 4 + [None])
    with pytest.raises(DataError, match="row 5: c is missing or empty: 'x', 'r', None"):
        kge_data.load(file)


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    file = _table(tmp_path, a=["x"], b=["y"], c=["z"])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a complete Parquet file"):
        kge_data.load(file)
