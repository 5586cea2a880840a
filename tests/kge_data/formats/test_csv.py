from __future__ import annotations

from pathlib import Path

import pytest

from kge_data.errors import DataError
from kge_data.formats import csv
from kge_data.layout import Layout, named


def _rows(file: Path) -> list[tuple[str, str, str]]:
    layout = named(csv.first_row(file), str(file)) or Layout()
    return [row for block in csv.read(file, layout) for row in zip(*block, strict=True)]


@pytest.mark.parametrize("header", ["", "head,relation,tail\r\n", "Subject, Predicate, Object\n"])
def test_comma_separated(tmp_path: Path, header: str) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(b"\xef\xbb\xbf" + f'{header}"a, b",r,"say ""x"""\n\n001,NA,two\r\n'.encode())
    assert _rows(file) == [("a, b", "r", 'say "x"'), ("001", "NA", "two")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a,r,b\na,r\n", "line 2: expected 3 comma-separated fields .* found 2: 'a,r'"),
        (b"a\tr\tb\n", r"line 1: .* It looks tab-separated: rename the file to \.tsv"),
        (b"a;r;b\n", "line 1: .* 'a;r;b'. Its fields are separated by semicolons: replace them by commas"),
        (b"a,r,\n", "line 1: the tail is empty: 'a,r,'. Give it a label or remove the line"),
        (b'head,relation,tail\r\n"a, b",r\r\n', "line 2: expected 3 .* found 2: '\"a, b\",r'. Correct or remove"),
        (b'"a\nb",r,c\n"d\ne",r\nf,r,g\n', "line 3: expected 3 .* found 2: '\"d'"),  # a record of lines 3 and 4
        (b'a,r,b\na,"r"x,b\n', r"line 2: not proper CSV \(.*\): 'a,\"r\"x,b'. Check the quotes there"),
        (b'a,r,b\n\na,"r,b\nc,r,d\n', r"line 3: not proper CSV \(unexpected end of data\): 'a,\"r,b'. Check"),
        (b"a,r,b\na,r,\xe9\n", r"line 2: byte 5 is not valid UTF-8: 'a,r,\\xe9'. Save the file as UTF-8"),
        (b"\xef\xbb\xbfa,r,b\n" * 1000 + b"caf\xe9,r,b\n", r"line 1001: byte 4 is not valid UTF-8: 'caf\\xe9,r,b'"),
    ],
)
def test_bad_comma_separated_lines(tmp_path: Path, text: bytes, message: str) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(text)
    with pytest.raises(DataError, match=f"^{file}, {message}"):
        _rows(file)


@pytest.mark.parametrize("text", ['"p15", "likes", "p16"\n', "p15, likes, p16\n", ' p15,  "likes",p16\r\n'])
def test_blanks_after_commas_are_skipped(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.csv").write_text(text, newline="")
    assert _rows(tmp_path / "train.csv") == [("p15", "likes", "p16")]


def test_blanks_inside_quotes_and_before_commas_are_kept(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('" p15 ",likes ,p16 \n')
    assert _rows(tmp_path / "train.csv") == [(" p15 ", "likes ", "p16 ")]
