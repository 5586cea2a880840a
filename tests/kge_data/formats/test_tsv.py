from __future__ import annotations

from pathlib import Path

import pytest

from kge_data.errors import DataError
from kge_data.formats import tsv
from kge_data.layout import Layout, named
from kge_data.numbering import Vocabulary, encode


def _rows(file: Path) -> list[tuple[str, str, str]]:
    layout = named(tsv.first_row(file), str(file)) or Layout()
    return [row for block in tsv.read(file, layout) for row in zip(*block, strict=True)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "train.txt"


@pytest.mark.parametrize("block", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    "text",
    [
        b"a\tr\tb\nc\ts\td\n",
        b"a\tr\tb\nc\ts\td",
        b"a\tr\tb\r\nc\ts\td\r\n",
        b"\xef\xbb\xbfa\tr\tb\nc\ts\td\n",
        b"\n\na\tr\tb\n\nc\ts\td\n\n",
        b"\r\na\tr\tb\r\n\r\nc\ts\td",
    ],
)
def test_the_same_triples_whatever_the_line_ends_and_blocks(
    file: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, block: int
) -> None:
    monkeypatch.setattr(tsv, "BYTES_PER_BLOCK", block)
    file.write_bytes(text)
    assert _rows(file) == [("a", "r", "b"), ("c", "s", "d")]


def test_labels_stay_text(file: Path) -> None:
    text = '001\tNA\t1\n1\tnull\t1.0\n "x"\té, ü\t漢字 \n'
    file.write_text(text, encoding="utf-8")
    assert _rows(file) == [("001", "NA", "1"), ("1", "null", "1.0"), (' "x"', "é, ü", "漢字 ")]


def test_an_empty_file_has_no_triples(file: Path) -> None:
    file.write_bytes(b"")
    assert _rows(file) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b"a\tr",
            r"line 3: expected 3 tab-separated fields \(head, relation, tail\), found 2: 'a\\tr'. Correct or",
        ),
        (b"a\tr\tb\tc", "line 3: expected 3 .* found 4: "),
        (b"a,r,b", r"found 1: 'a,r,b'. It looks comma-separated: rename the file to \.csv"),
        (b"a r b", "found 1: 'a r b'. Its fields are separated by spaces: replace them by tabs"),
        (b"a\tr b", r"found 2: 'a\\tr b'. Correct or remove the line"),
        (b"a\t\tb", r"line 3: the relation is empty: 'a\\t\\tb'. Give it a label or remove the line"),
        (b"\tr\tb", "line 3: the head is empty"),
        (b"a\tr\t", "line 3: the tail is empty"),
        (b"\t\t", "line 3: the head is empty"),
        (
            b"a\tr\tcaf\xe9",
            r"line 3: byte 8 is not valid UTF-8: 'a\\tr\\tcaf\\xe9'. Save the file as UTF-8",
        ),
    ],
)
@pytest.mark.parametrize("block", [5, 1 << 20])
def test_the_first_bad_line_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, message: str, block: int
) -> None:
    monkeypatch.setattr(tsv, "BYTES_PER_BLOCK", block)
    file.write_bytes(b"a\tr\tb\n\n" + line + b"\nbad\nworse\n")
    with pytest.raises(DataError, match=f"^{file}, .*{message}"):
        _rows(file)


def test_two_bad_lines_that_make_up_for_each_other_are_noticed(file: Path) -> None:
    file.write_bytes(b"a\tr\nb\tc\tr\td\n")
    with pytest.raises(DataError, match="line 1: expected 3"):
        _rows(file)


def test_a_file_cut_off_in_the_last_line_is_noticed(file: Path) -> None:
    file.write_bytes(b"a\tr\tb\nc\ts")
    with pytest.raises(DataError, match=r"line 2: .*if it is the last one, the file may be cut off"):
        _rows(file)


def test_a_long_line_is_shortened_in_the_message(file: Path) -> None:
    file.write_text("x" * 5000)
    with pytest.raises(DataError) as caught:
        _rows(file)
    assert len(str(caught.value)) < 500 + len(str(file))


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize("header", ["head\trelation\ttail\n", "\ufeffSubject\tPredicate\tObject\r\n"])
def test_a_header_between_tabs_is_no_triple(
    file: Path, monkeypatch: pytest.MonkeyPatch, header: str, block: int
) -> None:
    monkeypatch.setattr(tsv, "BYTES_PER_BLOCK", block)
    file.write_text(f"{header}a\tr\tb\nhead\trelation\ttail\n", encoding="utf-8", newline="")
    assert _rows(file) == [("a", "r", "b"), ("head", "relation", "tail")]
    file.write_text(f"{header}a\tr\tb\nc\td\n", encoding="utf-8", newline="")
    with pytest.raises(DataError, match="line 3: expected 3"):
        _rows(file)


def test_numbers_in_order_of_appearance() -> None:
    entities, relations = Vocabulary(), Vocabulary()
    triples = encode([(["b", "a"], ["s", "r"], ["a", "c"]), (["c"], ["r"], ["b"])], entities, relations)
    assert triples.tolist() == [[0, 0, 1], [1, 1, 2], [2, 1, 0]]
    assert list(entities) == ["b", "a", "c"]
    assert list(relations) == ["s", "r"]
