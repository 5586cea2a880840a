"""Every format and compression gives the same graph."""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kge_data
from kge_data.errors import DataError

FACTS = {
    "train": [("http://x/a", "http://x/r", "http://x/b"), ("http://x/b", "http://x/s", "http://x/ä")],
    "valid": [("http://x/a", "http://x/s", "http://x/b")],
    "test": [("http://x/ä", "http://x/r", "http://x/a")],
}
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"


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
        pytest.importorskip("rdflib")
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


@pytest.mark.parametrize(("module", "ending"), [("rdflib", ".nt"), ("pyarrow", ".parquet"), ("zstandard", ".txt.zst")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, ending: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"graph{ending}").write_bytes(b"x")
    with pytest.raises(DataError, match=f"needs the package {module}; `pip install {module}`"):
        kge_data.load(tmp_path / f"graph{ending}")


@pytest.fixture
def rdf(tmp_path: Path) -> Iterator[Callable[[str, str], kge_data.TripleSet]]:
    """Loads a graph whose train split is this RDF text."""
    pytest.importorskip("rdflib")

    def load(text: str, ending: str = ".nt") -> kge_data.TripleSet:
        for split, facts in FACTS.items():
            (tmp_path / f"{split}{ending}").write_bytes(WRITERS[ending](facts))
        (tmp_path / f"train{ending}").write_text(text, encoding="utf-8", errors="surrogateescape")
        return kge_data.load(tmp_path)

    return load


def test_ntriples_syntax(rdf: Callable[..., kge_data.TripleSet]) -> None:
    graph = rdf(
        "# a comment\n\n"
        "<http://x/a> <http://x/r> <http://x/\\u00e4> . # another\n"
        "  _:one\t<http://x/r>\t_:two.\r\n"
        "_:two <http://x/r> <http://x/b> .\n"
    )
    assert {graph.entities[number] for number in graph.train[:, ::2].ravel()} == {
        "_:one",
        "_:two",
        "http://x/a",
        "http://x/b",
        "http://x/ä",
    }
    assert len(graph.train) == 3


def test_labels_become_names_and_other_literals_are_left_out(rdf: Callable[..., kge_data.TripleSet]) -> None:
    text = (
        "<http://x/a> <http://x/r> <http://x/b> .\n"
        f'<http://x/a> <{LABEL}> "Anna"@de .\n<http://x/a> <{LABEL}> "Ann"@en .\n'
        f'<http://x/a> <{LABEL}> "Ana"@es .\n'
        f'<http://x/r> <{LABEL}> "knows" .\n'
        '<http://x/a> <http://x/age> "7"^^<http://www.w3.org/2001/XMLSchema#int> .\n'
    )
    with pytest.warns(UserWarning, match="1 triples whose object is a literal were left out"):
        graph = rdf(text)
    assert len(graph.train) == 1
    assert graph.entity_text == {graph.entity_id("http://x/a"): "Ann"}
    assert graph.relation_id("knows") == graph.relation_id("http://x/r")


@pytest.mark.parametrize("line", ["<a b> <r> <c> .", "<a> <r> .", "a r b", '<a> <r> "open .', "<a> <r> <b>"])
def test_bad_ntriples(rdf: Callable[..., kge_data.TripleSet], line: str) -> None:
    with pytest.raises(
        DataError, match=rf"train\.nt, line 2: not an N-Triples statement \(.*\): '{re.escape(line)}'\. "
    ):
        rdf(f"<a> <r> <b> .\n{line}\n")


def test_ntriples_that_are_not_utf8(rdf: Callable[..., kge_data.TripleSet]) -> None:
    with pytest.raises(DataError, match=r"train\.nt, line 2: byte 7 is not valid UTF-8: '<a> <r\\\\xe9>"):
        rdf("<a> <r> <b> .\n<a> <r\udce9> <b> .\n")  # the byte E9 alone


def test_bad_turtle(rdf: Callable[..., kge_data.TripleSet]) -> None:
    with pytest.raises(DataError, match=r"train\.ttl, line 3: not Turtle"):
        rdf("@prefix x: <http://x/> .\nx:a x:r x:b .\nx:a x:r ;;; ] .\n", ".ttl")
    begin = "@prefix x: <http://x/> .\n\n# a remark\nx:a x:r x:b .\n"
    with pytest.raises(
        DataError, match=r"train\.ttl, line 5: not Turtle \(objectList expected\): 'x:a x:r '\. Correct"
    ):
        rdf(f"{begin}x:a x:r \n\n", ".ttl")
    with pytest.raises(DataError, match=r"train\.ttl, line 5: byte 8 is not valid UTF-8: 'x:a x:r\\\\xe9'"):
        rdf(f"{begin}x:a x:r\udce9\n", ".ttl")  # the byte E9 alone
    with pytest.raises(DataError, match="has a blank node"):
        rdf("@prefix x: <http://x/> .\nx:a x:r [ x:s x:b ] .\n", ".ttl")


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
