"""Columns by name: in tables of every format, the graph is the same whatever its columns are called."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import kge_data
from kge_data import cache, loading
from kge_data.columns import by_name, candidates, choice, written
from kge_data.errors import DataError

FACTS = [
    (f"p{person:02}", relation, f"p{person * times % 12:02}")
    for relation, times in (("knows", 5), ("likes", 7), ("pays", 11))
    for person in range(12)
]
PARTS = (FACTS[:30], FACTS[30:33], FACTS[33:])
CHECKSUM = kge_data.from_triples(*PARTS).checksum

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes train, valid and test with columns in an order (positions of head, relation, tail, or a text)."""

    def written_folder(
        headers: Sequence[str] | str = "", order: Sequence[Any] = (0, 1, 2), ending: str = ".csv", comma: str = ","
    ) -> Path:
        several = [headers] * 3 if isinstance(headers, str) else headers
        for name, facts, header in zip(("train", "valid", "test"), PARTS, several, strict=True):
            rows = [comma.join(fact[place] if isinstance(place, int) else place for place in order) for fact in facts]
            text = "".join(f"{row}\n" for row in ([header] if header else []) + rows).encode()
            path = tmp_path / f"{name}{ending}"
            path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
        return tmp_path

    return written_folder


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("head,tail,relation", (0, 2, 1)),
        ("source,type,target", (0, 1, 2)),
        (",head,relation,tail", ("7", 0, 1, 2)),
        ("h,r,t", (0, 1, 2)),
        ("T,R,H", (2, 1, 0)),
        (" Subject , OBJECT, predicate", (0, 2, 1)),
        ("o,s,p", (2, 0, 1)),
        ("from,to,label,since", (0, 2, 1, "1999")),
        ("src,edge,dst", (0, 1, 2)),
        ("\ufeffSource,Relationship,Target,weight", (0, 1, 2, "0.5")),
        ("id,node1,label,node2", ("x", 0, 1, 2)),
        ("head_id,relation_id,tail_id", (0, 1, 2)),
        ("head_name,head,relation,tail,tail_id", ("x", 0, 1, 2, "y")),
        ("subjectId,predicate,object-id,source", (0, 1, 2, "wikidata")),
        (":START_ID(Person),since:int,:END_ID(Person),:TYPE", (0, "1999", 2, 1)),
        ("head,relation,tail,source,type,label", (0, 1, 2, "x", "y", "z")),
        ('"tail", "rel", "head"', (2, 1, 0)),
        ("head,edge,object", (0, 1, 2)),
        ("source_id,type,target_id,head,relation,tail", ("x", "y", "z", 0, 1, 2)),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt.gz"])
def test_known_names_in_any_order(write: Write, header: str, order: Sequence[Any], ending: str) -> None:
    comma = "," if ending == ".csv" else "\t"
    graph = kge_data.load(write(header.replace(",", comma), order, ending, comma))
    assert graph.checksum == CHECKSUM


@pytest.mark.parametrize(
    "headers", [("head,tail,relation", "", ""), ("", "head,tail,relation", ""), ("", "", "head,tail,relation")]
)
def test_files_without_a_header_have_the_columns_of_the_one_with_a_header(write: Write, headers: Sequence[str]) -> None:
    graph = kge_data.load(write(headers, (0, 2, 1)))
    assert graph.checksum == CHECKSUM
    assert (
        graph.reading is not None and "no header; head, relation and tail from columns 1,3,2" in graph.reading.lines[0]
    )
    named = kge_data.load(write([header and "a,c,b" for header in headers], (0, 2, 1)), columns="a,b,c")
    assert named.checksum == CHECKSUM


def test_a_blank_line_before_the_header(write: Write) -> None:
    assert kge_data.load(write("\n\ntail\trel\thead", (2, 1, 0), ".tsv", "\t")).checksum == CHECKSUM


def test_empty_fields_of_other_columns(write: Write) -> None:
    folder = write("note\thead\trelation\ttail", ("", 0, 1, 2), ".tsv", "\t")
    assert kge_data.load(folder).checksum == CHECKSUM


@pytest.mark.parametrize("columns", ["who,does,whom", ("who", "does", "whom"), "2,3,4", (2, 3, 4), " WHO,3,whom"])
def test_chosen_columns(write: Write, columns: Any) -> None:
    header = "when,who,does,whom"
    folder = write("" if str(columns).strip("(")[0] == "2" else header, ("1999", 0, 1, 2))
    graph = kge_data.load(folder, columns=columns)
    assert graph.checksum == CHECKSUM
    assert graph.reading is not None
    assert kge_data.load(folder, **graph.reading.options).checksum == CHECKSUM


def test_positions_pass_over_a_header_with_known_names(write: Write) -> None:
    assert kge_data.load(write("head,relation,tail", (0, 1, 2)), columns=(1, 2, 3)).checksum == CHECKSUM


@pytest.mark.parametrize(
    ("header", "order", "message"),
    [
        ("source,target", (0, 2), "expected columns for head, relation and tail, found source, target; add a column."),
        ("head,tail,score", (0, 2, "1"), "found head, tail, score; name them with --columns head,RELATION,tail, or"),
        ("who,does,whom,when", (0, 1, 2, "1"), "who, does, whom, when; name them with --columns HEAD,RELATION,TAIL"),
        ("head_id,head_name,relation,tail", (0, 0, 1, 2), "'head_id' and 'head_name' could both be the head; name "
         "them with --columns head_id,relation,tail, or give positions, such as --columns 1,2,3 (col"),
        ("source,type,label,target", (0, 1, 1, 2), "'type' and 'label' could both be the relation"),
        ("head,HEAD,relation,tail", (0, 0, 1, 2), "'head' and 'HEAD' could both be the head"),
        ("head,relation,tail,subject,predicate,object", (0, 1, 2, 0, 1, 2), "'head' and 'subject' could both"),
    ],
)  # fmt: skip
def test_headers_that_are_not_clear(write: Write, header: str, order: Sequence[Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"train\.csv: .*{re.escape(message)}"):
        kge_data.load(write(header, order))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("who,does", "columns: expected three, for head, relation and tail, got 2 (who, does)"),
        ("who,,whom", "columns: expected three"),
        ("who,does,wham", "train.csv: no column is called 'wham'; its columns are who, does, whom."),
        ("1,2,4", "train.csv: there is no column 4; its columns are 1 to 3: who, does, whom."),
        ("who,does,1", "chooses a column twice"),
    ],
)
def test_choices_that_do_not_fit(write: Write, columns: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        kge_data.load(write("who,does,whom"), columns=columns)


def test_a_published_graph_has_no_choice_of_columns() -> None:
    with pytest.raises(DataError, match="a published graph is read as it is; leave out columns, normalize and base"):
        kge_data.load("umls", columns="1,2,3")


@pytest.mark.parametrize("row", ["Berlin type city", "type type object", "a r t", "13 18 0"])
def test_a_triple_is_not_a_header(row: str) -> None:
    assert by_name(row.split(), "") is None


def test_a_choice_as_one_string() -> None:
    assert choice(written(("a,b", 'say "x"', "c"))) == ("a,b", 'say "x"', "c")
    assert choice("h,r,?", missing=True) == ("h", "r", "")
    assert candidates(["x", "y"]) == [[], [], []]


def test_parquet_and_frames(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    heads, relations, tails = map(list, zip(*FACTS, strict=True))
    frame = pandas.DataFrame({"weight": 0.5, "To": tails, "from_id": heads, "edge": relations})
    frame.to_parquet(tmp_path / "graph.parquet")
    expected = kge_data.from_triples(FACTS).checksum
    assert kge_data.load(tmp_path / "graph.parquet").checksum == expected
    assert kge_data.from_triples(frame).checksum == expected
    twice = pandas.DataFrame({"HEAD": tails, "head": heads, "relation": relations, "tail": tails})
    twice.to_parquet(tmp_path / "twice.parquet")
    for load in (kge_data.from_triples, lambda _, **choice: kge_data.load(tmp_path / "twice.parquet", **choice)):
        with pytest.raises(DataError, match="'HEAD' and 'head' could both be the head"):
            load(twice)
        assert load(twice, columns="head,relation,tail").checksum == expected
        assert load(twice, columns=(2, 3, 4)).checksum == expected
    other = frame.rename(columns={"To": "a", "from_id": "b", "edge": "c"})
    with pytest.raises(DataError, match="found weight, a, b, c; name them with --columns"):
        kge_data.from_triples(other)
    assert kge_data.from_triples(other, columns=("b", "c", "a")).checksum == expected
    assert kge_data.from_triples(pandas.DataFrame(FACTS)).checksum == expected


def test_what_was_read(write: Write) -> None:
    graph = kge_data.load(write("weight,target,source,type", ("1", 2, 0, 1)))
    assert graph.reading is not None
    assert graph.reading.lines == (
        f"read {write()}/train.csv, valid.csv, test.csv: head = source, relation = type, tail = target; "
        "ignored: weight",
        "first triple: ('p00', 'knows', 'p00')",
    )
    assert (graph.reading.warnings, graph.reading.options) == ((), {})
    assert kge_data.load("umls").reading is None


def test_a_header_of_unknown_names_is_suspected(write: Write) -> None:
    reading = kge_data.load(write("wer,was,wen den")).reading
    assert reading is not None and reading.warnings == (
        "the first line of train.csv, valid.csv, test.csv may be a header: its labels 'wer', 'was' and 'wen den' are "
        "nowhere else; if it is, remove it, or pass --columns wer,was,'wen den'.",
    )
    assert kge_data.load(write("wer,was,wen den"), columns="wer,was,wen den").checksum == CHECKSUM


def test_a_header_among_the_triples_is_told(write: Write) -> None:
    folder = write("source,type,target")
    with (folder / "valid.csv").open("a") as file:
        file.write("source,type,target\n")
    reading = kge_data.load(folder).reading
    assert reading is not None and reading.warnings == (
        "the header of valid.csv is 1 times among its triples; remove these lines.",
    )


@pytest.mark.parametrize(("order", "advised"), [((0, 2, 1), "1,3,2"), ((1, 0, 2), "2,1,3")])
def test_swapped_columns_are_suspected(write: Write, order: Sequence[int], advised: str) -> None:
    folder = write("", order)
    reading = kge_data.load(folder).reading
    assert reading is not None and reading.warnings[0].endswith(
        f"columns may be swapped; if so, pass --columns {advised}."
    )
    right = kge_data.load(folder, columns=advised)
    assert right.checksum == CHECKSUM and right.reading is not None and not right.reading.warnings


def test_swapped_columns_of_different_kinds(tmp_path: Path) -> None:
    facts = [(f"user{user}", f"film{film}", "likes") for user in range(8) for film in range(8)]
    (tmp_path / "g.tsv").write_text("source\trelation\ttarget\n" + "".join("\t".join(fact) + "\n" for fact in facts))
    reading = kge_data.load(tmp_path / "g.tsv").reading
    assert reading is not None and reading.warnings == (
        "8 different relations but only 1 different tails: columns may be swapped; if so, pass --columns "
        "source,target,relation.",
    )


def test_bundled_graphs_are_not_suspected(tmp_path: Path) -> None:
    for name in ("nations", "umls", "kinships"):
        folder = loading.folder_of(name)
        assert folder is not None
        reading = kge_data.load(folder).reading
        assert reading is not None and reading.warnings == ()
        assert kge_data.load(folder).checksum == kge_data.load(name).checksum


def test_the_reading_is_in_the_cache(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MIN_BYTES", 0)
    folder = write("a,c,b", (0, 2, 1))
    first = kge_data.load(folder, columns="a,b,c")
    with monkeypatch.context() as patch:
        patch.setattr(loading, "open_folder", lambda *_: pytest.fail("parsed again"))
        again = kge_data.load(folder, columns="a,b,c")
    assert (again.reading, again.checksum) == (first.reading, CHECKSUM)
    assert kge_data.load(folder, columns="a,c,b").checksum != CHECKSUM
