"""UTF-16 and UTF-32 with a byte order mark, and lines that end with carriage returns."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import kge_data
from kge_data.errors import DataError

FACTS = [(f"é{head}", "kennt", f"漢{tail}") for head in range(6) for tail in range(6)]
CHECKSUM = kge_data.from_triples(FACTS).checksum


def _text(comma: str, end: str) -> str:
    return "".join(comma.join(fact) + end for fact in FACTS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("comma", "ending"), [("\t", ".tsv"), (",", ".csv"), ("\t", ".txt.gz")])
def test_every_encoding_and_line_end(tmp_path: Path, encoding: str, end: str, comma: str, ending: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    content = (mark + _text(comma, end)).encode(encoding)
    path = tmp_path / f"graph{ending}"
    path.write_bytes(gzip.compress(content, mtime=0) if ending.endswith(".gz") else content)
    assert kge_data.load(path).checksum == CHECKSUM


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tr\tb\n".encode("utf-16-le"), "looks like UTF-16 without a byte order mark; convert it, for instance with "
         "`iconv -f utf-16le -t utf-8`."),
        (_text("\t", "\n").encode("utf-16")[:-1], "not valid UTF-16 ("),
        (
            gzip.compress(b"a\tr\tb\n", mtime=0),
            "expected text, found the content of a .gz file; rename it to end in .gz.",
        ),
        (b"a\tr\tb\rc\tr\t\xe9\rd\tr\te", "line 2: byte 5 is not valid UTF-8: "),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "graph.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + re.escape(message)):
        kge_data.load(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_readable_names_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text(_text("\t", "\n"), encoding="utf-8")
    (tmp_path / "entity2text.txt").write_text("é0\tÉmile\n", encoding=encoding)
    graph = kge_data.load(tmp_path)
    assert graph.entity_label(graph.entity_id("é0")) == "Émile"


def test_readable_names_that_are_not_utf8(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text(_text("\t", "\n"), encoding="utf-8")
    (tmp_path / "entity2text.txt").write_bytes(b"a\tA\nb\t\xe9\n")
    with pytest.raises(DataError, match=r"entity2text.txt, line 2: byte 3 is not valid UTF-8: 'b"):
        kge_data.load(tmp_path)


def test_a_carriage_return_inside_a_label(tmp_path: Path) -> None:
    path = tmp_path / "graph.tsv"
    path.write_bytes(_text("\t", "\n").replace("漢", "a\rb").encode())
    assert "a\rb0" in kge_data.load(path).entities
