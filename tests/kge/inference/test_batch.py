"""Files of queries: formats, refused rows, and the same answers after an interruption."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import Any

import pytest

import kge_data
from kge_data.errors import DataError
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError, WriteError
from mulde.kge.inference import batch
from mulde.kge.inference.answer import Settings
from mulde.kge.inference.batch import Tally, answer_file
from mulde.kge.inference.query import neighbours, predict, score
from mulde.kge.inference.query_files import columns_of, read_queries
from mulde.kge.model.kge_model import KGEModel
from tests.kge.toys import model as toy_model
from tests.kge.toys import toy_graph

QUERIES = [
    ("e01", "r0", ""), ("?", "r1", "e05"), ("e03", "", "e04"), ("e01", "r2", "e09"), ("nobody", "r0", ""),
    ("e02", "r9", "?"), ("e02", "", ""), ("e01", "r0", ""), ("e07", "r1", ""), ("", "r2", "e07"),
]  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    return toy_graph()


@pytest.fixture(scope="module")
def model(graph: TripleSet) -> KGEModel:
    return toy_model(graph)


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    path = tmp_path / "queries.csv"
    path.write_text("head,relation,tail\n" + "".join(",".join(row) + "\n" for row in QUERIES))
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))


def test_every_row_is_answered_or_refused(queries: Path, model: KGEModel, graph: TripleSet) -> None:
    out = queries.with_name("out.csv")
    tally = answer_file(model, graph, queries, out, Settings(top=4, chunk=3))
    rows = table(out)
    assert tally == Tally(10, 3, 5 * 4 + 3 + 1 + 3 - 3)
    by_row = {number: [row for row in rows if row["row"] == str(number)] for number in range(1, 11)}
    assert [row["row"] for row in rows] == [str(number) for number in range(1, 11) for _ in by_row[number]]
    for number, (head, relation, tail) in enumerate(QUERIES, 1):
        row = {"head": head, "relation": relation, "tail": tail}
        given = {name: text for name, text in row.items() if text not in ("", "?")}
        if number in (5, 6, 7):
            continue
        if number == 4:
            expected = score(model, graph, **given)  # type: ignore[arg-type]
            assert float(by_row[4][0]["score"]) == pytest.approx(expected.score, rel=1e-6)
            assert by_row[4][0]["known_in"] == (expected.known_in or "")
            continue
        answers = predict(model, graph, **given, top=4)  # type: ignore[arg-type]
        missing = next(name for name in row if name not in given)
        for found, answer in zip(by_row[number], answers, strict=True):
            assert found[missing] == answer.identifier
            assert {name: found[name] for name in given} == given
            assert (found["rank"], found["known_in"], found["error"]) == (str(answer.rank), answer.known_in or "", "")
            assert float(found["score"]) == pytest.approx(answer.score, rel=1e-6)
    refused = [(row["row"], row["head"], row["relation"], row["tail"], row["error"]) for row in rows if row["error"]]
    assert refused == [
        ("5", "nobody", "r0", "", 'no entity is called "nobody"'),
        ("6", "e02", "r9", "", 'no relation is called "r9"'),
        ("7", "e02", "", "", "at least two of head, relation and tail are needed; the third may be missing"),
    ]


def test_a_masked_entity_is_not_an_answer(graph: TripleSet, tmp_path: Path) -> None:
    model = toy_model(graph).eval()
    model.mask_self_loops(graph.train[:0])
    (tmp_path / "queries.csv").write_text("head,relation,tail\ne01,r0,e01\ne01,r0,\n")
    tally = answer_file(model, graph, tmp_path / "queries.csv", tmp_path / "out.csv", Settings(top=25))
    assert tally == Tally(2, 0, 1 + 24)
    rows = table(tmp_path / "out.csv")
    assert rows[0]["score"] == "" and all(-100 < float(row["score"]) < 100 for row in rows[1:])
    answer_file(model, graph, tmp_path / "queries.csv", tmp_path / "only.csv", Settings(top=25, embeddings_only=True))
    assert all(-100 < float(row["score"]) < 100 for row in table(tmp_path / "only.csv"))


def test_queries_in_parquet_of_other_types(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "queries.parquet"
    columns = {"head": [1.0, None], "relation": ["r", "r"], "tail": arrow.nulls(2)}
    parquet.write_table(arrow.table(columns), path)
    assert [rows.columns for rows in read_queries(path, 9)] == [
        {"head": ["1", ""], "relation": ["r", "r"], "tail": ["", ""]}
    ]
    for wrong in ([[1], [2]], [b"\xff", b"a"], [{"x": 1}, None], [True, False]):
        parquet.write_table(arrow.table(columns | {"tail": wrong}), path)
        with pytest.raises(UsageError, match=r"queries\.parquet: column tail holds .*; expected text"):
            list(read_queries(path, 9))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UsageError, match=r"queries\.parquet: not a complete Parquet file"):
        list(read_queries(path, 9))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_formats_agree(suffix: str, queries: Path, model: KGEModel, graph: TripleSet) -> None:
    """Each input format against each output format, and compressed input."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    plain = queries.with_name("plain.csv")
    answer_file(model, graph, queries, plain, Settings(top=2))
    out = queries.with_name(f"out{suffix}")
    source = queries.with_name(f"in{suffix}")
    if suffix == ".parquet":
        import pyarrow as arrow
        from pyarrow import parquet

        columns = zip(*QUERIES, strict=True)
        names = ("subject", "predicate", "object")
        texts = {name: [t or None for t in column] for name, column in zip(names, columns, strict=True)}
        parquet.write_table(arrow.table(texts), source, row_group_size=3)
    elif suffix == ".tsv":
        source = queries.with_name("in.tsv.gz")
        source.write_bytes(gzip.compress("".join("\t".join(row) + "\r\n" for row in QUERIES).encode()))
    else:
        source.write_text("\ufefftail,head,relation\n" + "".join(f"{t},{h},{r}\n" for h, r, t in QUERIES))
    answer_file(model, graph, source, out, Settings(top=2, chunk=4))
    if suffix != ".parquet":
        assert table(out) == table(plain)
        return
    from pyarrow import parquet

    for row, expected in zip(parquet.read_table(out).to_pylist(), table(plain), strict=True):
        score_ = row.pop("score")
        assert score_ is None or score_ == pytest.approx(float(expected["score"]), rel=1e-6)
        assert {name: "" if value is None else str(value) for name, value in row.items()} == {
            name: value for name, value in expected.items() if name != "score"
        }


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("stop", [0, 1, 2])
def test_continued_after_a_kill(
    suffix: str, stop: int, queries: Path, model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    whole, out = queries.with_name(f"whole{suffix}"), queries.with_name(f"out{suffix}")
    settings = Settings(top=3, exclude_known=True, chunk=4)
    tally = answer_file(model, graph, queries, whole, settings)
    write, written = batch.write_part, []

    def until_killed(path: Path, part: object) -> None:
        if len(written) == stop:
            raise KeyboardInterrupt
        written.append(path)
        write(path, part)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "write_part", until_killed)
    with pytest.raises(KeyboardInterrupt):
        answer_file(model, graph, queries, out, settings)
    assert not out.exists()
    before = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(batch, "write_part", write)
    monkeypatch.setattr(batch, "remove_folder", lambda folder: None)
    assert answer_file(model, graph, queries, out, settings) == tally
    assert {path: path.stat().st_mtime_ns for path in written} == before  # not answered again
    assert out.read_bytes() == whole.read_bytes()
    out.unlink()
    with pytest.raises(UsageError, match=r"(?s)begun with other arguments; remove it.*top: was 3, is 2"):
        answer_file(model, graph, queries, out, Settings(top=2, exclude_known=True, chunk=4))


@pytest.mark.parametrize("damaged", ["000000.csv", "000000.json"])
def test_a_damaged_part_is_answered_again(
    damaged: str, queries: Path, model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = queries.with_name("whole.csv"), queries.with_name("out.csv")
    settings = Settings(top=3, chunk=4)
    tally = answer_file(model, graph, queries, whole, settings)
    with monkeypatch.context() as patch:
        patch.setattr(batch, "join", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            answer_file(model, graph, queries, out, settings)
    part = queries.with_name("out.csv.parts") / damaged
    content = bytearray(part.read_bytes())
    content[20] ^= 1
    part.write_bytes(content)
    with pytest.warns(UserWarning, match=r"0000.*; these answers are computed again"):
        assert answer_file(model, graph, queries, out, settings) == tally
    assert out.read_bytes() == whole.read_bytes()


def test_a_folder_of_the_user_is_refused_and_kept(queries: Path, model: KGEModel, graph: TripleSet) -> None:
    out = queries.with_name("out.csv")
    theirs = out.with_name("out.csv.parts")
    theirs.mkdir()
    (theirs / "000000.csv").write_text("precious")
    with pytest.raises(UsageError, match=r"out\.csv\.parts: this name is needed .* without the file identity\.json"):
        answer_file(model, graph, queries, out, Settings())
    assert (theirs / "000000.csv").read_text() == "precious"
    assert not out.exists()


def test_the_second_of_two_at_once_is_refused(
    queries: Path, model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = queries.with_name("out.csv"), batch.write_part
    messages = []

    def second_meanwhile(path: Path, part: object) -> None:
        with pytest.raises(UsageError) as caught:
            answer_file(model, graph, queries, out, Settings())
        messages.append(str(caught.value))
        write(path, part)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "write_part", second_meanwhile)
    answer_file(model, graph, queries, out, Settings())
    assert f"out.csv.parts: in use by process {os.getpid()} on " in messages[0]
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.csv", "queries.csv"]


def test_a_result_that_another_process_finished_meanwhile_is_kept(
    queries: Path, model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, begin = queries.with_name("out.csv"), batch._begin

    def finished_meanwhile(folder: Path, identity: dict[str, Any]) -> None:
        begin(folder, identity)
        out.write_text("theirs")

    monkeypatch.setattr(batch, "_begin", finished_meanwhile)
    with pytest.raises(UsageError, match=r"out\.csv: exists already"):
        answer_file(model, graph, queries, out, Settings())
    assert out.read_text() == "theirs"
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.csv", "queries.csv"]


def test_a_full_disk_leaves_nothing_half_written(
    queries: Path, model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = queries.with_name("out.csv")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mulde.kge.inference.answer_files.shutil.copyfileobj", full)
    with pytest.raises(WriteError, match=r"out\.csv: no space left on the device; free some"):
        answer_file(model, graph, queries, out, Settings())
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.csv.parts", "queries.csv"]


def test_nearest_entities(tmp_path: Path, model: KGEModel, graph: TripleSet) -> None:
    path, out = tmp_path / "entities.tsv", tmp_path / "near.tsv"
    path.write_text("entity\ne03\nnobody\ne10\n")
    assert answer_file(model, graph, path, out, Settings(top=3)) == Tally(3, 1, 6)
    rows = table(out)
    assert [row["nearest"] for row in rows[:3]] == [it.identifier for it in neighbours(model, graph, "e03", top=3)]
    assert rows[3] == {"row": "2", "entity": "nobody", "nearest": "", "rank": "", "distance": "",
                       "error": 'no entity is called "nobody"'}  # fmt: skip
    assert [row["rank"] for row in rows[4:]] == ["1", "2", "3"]


def test_readable_names_in_and_out(tmp_path: Path) -> None:
    plain = kge_data.from_triples([("Q1", "P1", "Q2"), ("Q2", "P1", "Q3")], [], [])
    graph = TripleSet("people", plain.train, plain.valid, plain.test, plain.entities, plain.relations,
                      {0: "An\tna", 1: "Ben", 2: "Ben"}, {0: "knows"})  # fmt: skip
    path, out = tmp_path / "q.csv", tmp_path / "a.tsv"
    path.write_text('head,relation\n"An\tna",knows\nBen,knows\nQ1\n')
    answer_file(toy_model(graph), graph, path, out, Settings(top=1, labels=True))
    rows = table(out)
    assert rows[0]["head"] == "An\tna" and rows[0]["relation"] == "knows" and rows[0]["tail"] in ("An\tna", "Ben")
    assert rows[1]["error"].startswith('entity "Ben" could be any of 2: Q2 (Ben); Q3 (Ben). Give the identifier')
    assert rows[2]["error"] == "expected 2 fields (head, relation), found 1"


BAD = {
    "a,b\n": (UsageError, "expected three columns, or a first line that names two or three .* found a, b; name them"),
    "head\ne01\n": (
        UsageError,
        "a first line that names two or three of head, relation and tail, or entity; found head",
    ),
    "head,rel,head,tail\na,b,c,d\n": (UsageError, "'head' and 'head' could both be the head; name them with --columns"),
    "": (UsageError, "holds no query"),
    'head,relation,tail\na,"b,c\n': (DataError, "not proper CSV"),
}


@pytest.mark.parametrize("text", BAD)
def test_malformed_files(text: str, tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(text)
    kind, words = BAD[text]
    with pytest.raises(kind, match=words):
        list(read_queries(path, 2))


@pytest.mark.parametrize(
    ("text", "columns", "found"),
    [
        ("Object,note,subject_id,predicate\ne05,x,e01,r0\n", None, {"tail": "e05", "head": "e01", "relation": "r0"}),
        ("from,kind\ne01,r0\n", "from,kind,", {"head": "e01", "relation": "r0"}),
        ("e05,e01,r0\n", "2,3,1", {"tail": "e05", "head": "e01", "relation": "r0"}),
        ("tail,head,relation\ne05,e01,r0\n", "2,3,1", {"tail": "e05", "head": "e01", "relation": "r0"}),
        ("e01, r0, ?\n", None, {"head": "e01", "relation": "r0", "tail": ""}),
        ("?,type,object\n", None, {"head": "", "relation": "type", "tail": "object"}),
        ("id,entity\n7,e01\n", None, {"entity": "e01"}),
    ],
)
def test_columns_of_queries_by_name(tmp_path: Path, text: str, columns: str | None, found: dict[str, str]) -> None:
    path = tmp_path / "q.csv"
    path.write_text(text)
    (rows,) = read_queries(path, 8, columns)
    assert (rows.columns, rows.errors) == ({part: [label] for part, label in found.items()}, [""])
    with pytest.raises(UsageError, match="no column is called 'nothing'; its columns are"):
        columns_of(path, "nothing,2,1")


def test_other_refusals(queries: Path, model: KGEModel, graph: TripleSet) -> None:
    with pytest.raises(UsageError, match=r"a name that ends in .csv, .tsv, .parquet, which sets the format"):
        answer_file(model, graph, queries, queries.with_name("out.txt"), Settings())
    with pytest.raises(UsageError, match="exists already; choose another name, or remove it"):
        answer_file(model, graph, queries, queries, Settings())
    other = queries.rename(queries.with_name("q.json"))
    with pytest.raises(UsageError, match=r"ends in .csv, .tsv, .txt, .parquet; rename it"):
        columns_of(other)


def test_bytes_that_are_no_text_are_an_unknown_name(tmp_path: Path, model: KGEModel, graph: TripleSet) -> None:
    path, out = tmp_path / "q.tsv", tmp_path / "a.csv"
    path.write_bytes(b"e0\xff1\tr0\t?\ne01\tr0\t?\n")
    assert answer_file(model, graph, path, out, Settings(top=1)) == Tally(2, 1, 1)
    assert table(out)[0]["error"] == 'no entity is called "e0\\xff1"'
