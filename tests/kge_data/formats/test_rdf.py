"""N-Triples and Turtle: well-formed files are read, others are refused with file, line and column."""

from __future__ import annotations

import gzip
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kge_data
from kge_data.__main__ import main
from kge_data.errors import DataError
from kge_data.formats import rdf

pytest.importorskip("pyoxigraph")

LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
PREFIX = "@prefix x: <http://x/> .\n"
FACTS = "".join(f"<http://x/{h}> <http://x/r> <http://x/{(h + k) % 9}> .\n" for h in range(9) for k in range(9))

Parse = Callable[..., list[tuple[str, str, str]]]


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    """Triples of this RDF text; readable names are added to `names`."""

    def triples(
        text: str, ending: str, base: str | None = None, names: dict[str, str] | None = None
    ) -> list[tuple[str, str, str]]:
        path = tmp_path / f"g{ending}"
        path.write_bytes(text.encode(errors="surrogateescape"))
        blocks = rdf.read(path, {} if names is None else names, base)
        return [triple for block in blocks for triple in zip(*block, strict=True)]

    return triples


def test_ntriples_syntax(parse: Parse) -> None:
    text = (
        "\ufeff# a comment\n\n"
        "<http://x/a> <http://x/r> <http://x/\\u00e4> . # another\n"
        "  _:one\t<http://x/r>\t_:two.\r\n"
        "_:é<http://x/r><http://x/b>.\n"
        '<http://x/a><http://x/r>"literal".\n'
    )
    with pytest.warns(UserWarning, match="1 triples whose object is a literal were left out"):
        assert parse(text, ".nt") == [
            ("http://x/a", "http://x/r", "http://x/ä"),
            ("_:one", "http://x/r", "_:two"),
            ("_:é", "http://x/r", "http://x/b"),
        ]


@pytest.mark.parametrize("ending", rdf.ENDINGS)
def test_labels_become_names_and_other_literals_are_left_out(parse: Parse, ending: str) -> None:
    text = (
        "<http://x/a> <http://x/r> <http://x/b> .\n"
        f'<http://x/a> <{LABEL}> "Anna"@de .\n<http://x/a> <{LABEL}> "Ann"@en .\n'
        f'<http://x/a> <{LABEL}> "Ana"@es .\n'
        f'<http://x/r> <{LABEL}> "knows" .\n'
        '<http://x/b> <http://www.w3.org/2004/02/skos/core#prefLabel> "Bo"@sv .\n'
        '<http://x/a> <http://x/age> "7"^^<http://www.w3.org/2001/XMLSchema#int> .\n'
    )
    names: dict[str, str] = {}
    with pytest.warns(UserWarning, match="1 triples whose object is a literal were left out"):
        assert parse(text, ending, names=names) == [("http://x/a", "http://x/r", "http://x/b")]
    assert names == {"http://x/a": "Ann", "http://x/r": "knows", "http://x/b": "Bo"}


def test_turtle_syntax_and_order(parse: Parse) -> None:
    assert parse(f"{PREFIX}x:b a x:c ; x:r _:one, x:d .\nx:a x:r x:b .\n", ".ttl") == [
        ("http://x/b", "http://www.w3.org/1999/02/22-rdf-syntax-ns#type", "http://x/c"),
        ("http://x/b", "http://x/r", "_:one"),
        ("http://x/b", "http://x/r", "http://x/d"),
        ("http://x/a", "http://x/r", "http://x/b"),
    ]


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("<http://a b> <u:r> <u:c> .", 1, "Invalid IRI code point"),
        ("<u:a> <u:r> .", 13, "object of a triple must be"),
        ("a r b", 1, "subject of a triple must be"),
        ('<u:a> <u:r> "open .', 13, "Unexpected end of file"),
        ("<u:a> <u:r> <u:b>", 18, "followed by a dot"),
        ("<u:\\u00zz> <u:r> <u:b> .", 8, "escape sequence"),
        ("<u:ää\\UFFFFFFFF> <u:r> <u:b> .", 6, "not a valid unicode character"),
        ("<x <u:a> <u:r> <u:b> .", 1, "Invalid IRI code point"),
        ("?x <u:r> <u:b> .", 1, "subject of a triple must be"),
        ("<u:a> <u:r> [] .", 13, "object of a triple must be"),
        ("<u:a> <u:r> <u:\x1b> .", 13, r"Invalid IRI code point '\\x1b'"),
    ],
)
def test_bad_ntriples(parse: Parse, line: str, column: int, reason: str) -> None:
    message = rf"g\.nt, line 2, column {column}: not N-Triples \(.*{reason}.*\): {re.escape(repr(line))}\. Expected `<"
    with pytest.raises(DataError, match=message):
        parse(f"<u:a> <u:r> <u:b> .\n{line}", ".nt")


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("x:a x:r ;;; ] .\n", "line 2, column 9", r"; is not a valid RDF object\): 'x:a x:r ;;; \] \.'"),
        ("# ä\r\n\nx:a x:r \n\n", "line 4, column 9", r"Unexpected end\): 'x:a x:r '"),
        ('"lit" x:r x:b .\n', "line 2, column 1", '"lit" is not a valid subject'),
        ("<http://a b> x:r x:b .\n", "line 2, column 1", "Invalid IRI code point ' '"),
        ("x:a x:r " + "[" * 100_000, "line 2, column 10", r"\[ is not a valid predicate\): 'x:a x:r \[{112}'\. Corr"),
        ("x:a x:r " + "x:b," * 99 + " ?x .\n", "line 2, column 406", r"'[^']{115} \?x \.'"),
        ("x:a y:r x:b .\n", "line 2, column 5", "The prefix y: has not been declared"),
    ],
)
def test_bad_turtle(parse: Parse, text: str, place: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"g\.ttl, {place}: not Turtle \(.*{reason}"):
        parse(PREFIX + text, ".ttl")


@pytest.mark.parametrize(
    ("ending", "text", "line"),
    [
        (".nt", "<u:a> <u:r> <u:b> .\n<u:a> <u:\udce9> <u:b> .\n", r"2: byte 10 .*: '<u:a> <u:\\xe9>"),
        (".ttl", f'{PREFIX}x:a x:r """\n\n x\udce9""" .\n', r"4: byte 3 .*: ' x\\xe9"),  # the byte E9 alone
    ],
)
def test_bytes_that_are_not_utf8(parse: Parse, ending: str, text: str, line: str) -> None:
    with pytest.raises(DataError, match=rf"g\{ending}, line {line}"):
        parse(text, ending)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".nt", "<u:a> <u:r> <b> ."),
        (".ttl", "<u:a> <u:r> <b> ."),
        (".ttl", "<u:a> <u:r> <> ."),
        (".ttl", "@prefix : <p/> . <u:a> <u:r> :b ."),
        (".ttl", "@base <b/> . <u:a> <u:r> <u:b> ."),
    ],
)
def test_a_relative_iri_needs_a_base(parse: Parse, ending: str, text: str) -> None:
    with pytest.raises(DataError, match=r"line 1, column \d+: a relative IRI without a base: .* pass --base IRI"):
        parse(text, ending)
    [(_, _, tail)] = parse(text, ending, base="http://b.org/d/x")
    assert tail in ("u:b", "http://b.org/d/x", "http://b.org/d/b", "http://b.org/d/p/b")


def test_a_base_from_the_file_or_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.ttl").write_text(FACTS.replace("http://x/", "/"))
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        graph = kge_data.load(tmp_path / "g.ttl", base="http://x/y/z")
        assert graph.entities == tuple(f"http://x/{number}" for number in range(9))
    assert graph.reading is not None and graph.reading.options == {"base": "http://x/y/z"}
    assert main(["check", str(tmp_path / "g.ttl"), "--base", "http://x/"]) == 0
    assert graph.checksum in capsys.readouterr().out
    assert main(["check", str(tmp_path / "g.ttl")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "g.ttl").write_text("@base <http://x/> .\n" + FACTS.replace("http://x/", ""))
    assert kge_data.load(tmp_path / "g.ttl", base="http://other.org/").checksum == graph.checksum


def test_the_cache_tells_bases_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kge_data.cache.MIN_BYTES", 1)
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "g.ttl").write_text(FACTS.replace("http://x/", ""))
    for base in ("http://a/", "http://b/", "http://a/"):
        assert kge_data.load(tmp_path / "g.ttl", base=base).relations == (f"{base}r",)


def test_a_base_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "g.nt").write_text(FACTS)
    (tmp_path / "g.tsv").write_text("a\tr\tb\n")
    for base in ("there", ""):
        with pytest.raises(DataError, match=rf"base: expected an absolute IRI such as .*, got '{base}'"):
            kge_data.load(tmp_path / "g.nt", base=base)
    with pytest.raises(DataError, match=r"g\.tsv: base is for RDF files \(\.nt, \.ttl\); leave it out"):
        kge_data.load(tmp_path / "g.tsv", base="http://x/")


@pytest.mark.parametrize("ending", [".nt", ".ttl", ".tsv"])
def test_repeated_triples_are_counted_alike(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = FACTS if ending != ".tsv" else re.sub("> <", "\t", FACTS).replace("> .", "").replace("<", "")
    first = text.splitlines(keepends=True)[:2]
    (tmp_path / f"g{ending}").write_text("".join([text, *first]))
    graph = kge_data.load(tmp_path / f"g{ending}")
    assert len(graph.train) + len(graph.valid) + len(graph.test) == 81  # each once, or it would be in two splits
    assert graph.reading is not None
    assert graph.reading.warnings == ("g contains 2 repeated triples; remove the repetitions.",)
    folder = tmp_path / "folder"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"{split}{ending}").write_text("".join([text, *first] if split == "train" else first))
    assert len(kge_data.load(folder).train) == 83
    assert main(["check", str(folder)]) == 1
    output = capsys.readouterr()
    assert (output.out + output.err).count("train contains 2 repeated triples; remove the repetitions.") == 1


@pytest.mark.parametrize("node", ["[]", "[ x:s x:b ]", "( x:b )", "x:b {| x:s x:d |}"])
def test_turtle_nodes_without_a_name(parse: Parse, node: str) -> None:
    with pytest.raises(DataError, match=r"g\.ttl: has a (blank node without a name|triple as object)"):
        parse(f"{PREFIX}x:a x:r {node} .\n", ".ttl")


def test_nested_triples_do_not_end_the_process(parse: Parse) -> None:
    term = "<u:a>"
    for _ in range(99):
        term = f"<<( <u:a> <u:r> {term} )>>"
    refused = []

    def read() -> None:
        for text in (term, "<<( <u:a> <u:r> " * 20_000 + "<u:a>" + " )>>" * 20_000):
            for ending in rdf.ENDINGS:
                with pytest.raises(DataError, match=r"has (a triple as object, '<u:a> <u:r> <<|more than 100 triple)"):
                    parse(f"<u:a> <u:r> {text} .", ending)
                refused.append(ending)

    size = threading.stack_size(1 << 18)  # where 300 are too many
    try:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
    assert refused == [".nt", ".ttl", ".nt", ".ttl"]


def test_a_truncated_compressed_file(tmp_path: Path) -> None:
    (tmp_path / "g.nt.gz").write_bytes(gzip.compress(os.urandom(99).hex().encode().join([b"# ", b"\n"]))[:-20])
    with pytest.raises(DataError, match="the compressed data are damaged or cut off"):
        kge_data.load(tmp_path / "g.nt.gz")


def test_a_term_longer_than_the_buffer(parse: Parse) -> None:
    with pytest.raises(DataError, match=r"g\.ttl: a term is too long \(.*16777216\)"):
        parse(f"<u:a> <u:r> <u:{'x' * (1 << 24)}> .\n", ".ttl")


def test_files_are_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kge_data.formats.rdf.ROWS_PER_BLOCK", 10)
    for ending in rdf.ENDINGS:
        (tmp_path / f"g{ending}").write_text(FACTS * 2 + "?")
        blocks = rdf.read(tmp_path / f"g{ending}", {})
        assert [len(next(blocks)[0]) for _ in range(16)] == [10] * 16
        with pytest.raises(DataError, match="line 163, column 1"):
            next(blocks)


SAMPLES = {
    ".nt": (
        f'<http://b> <u:r#x> _:y .# c\n<u:a> <{LABEL}> "A\\u00e4\\n"@en .\n<u:a> <u:r> "7"^^<u:int> .\n'
        "<u:a> <u:r> <<( <u:a> <u:r> <u:b> )>> .\n"
    ),
    ".ttl": (
        "@prefix x: <http://x/> .\n@base <u:y/> .\nPREFIX z: <z>\nx:a x:r x:b, <c> ; a z:d .\n"
        'x:a x:r """a\nb""", 1.5e3, true, \'x\'@de .\nx:a x:r [ x:s ( 1 x:c ) ] {| x:s x:t |} .\n'
    ),
}
PIECES = rb"< > <<( )>> << [ ] ( ) \u \U0011FFFF \uD800 ?x {| @ ^^ . ; , _: # % // [::1] a: 1e - ' ~ =".split()
BYTES = st.sampled_from([*PIECES, b'"', b'"""', b"\n", b"\r", b" ", b"\x00", b"\x1b", b"\xef\xbb\xbf", b"\xff\xfe"])


def test_a_mark_inside_a_file_is_shown_as_an_escape(tmp_path: Path) -> None:
    (tmp_path / "g.ttl").write_text("@prefix x: <http://x/> .\nx:a x:r \ufeffx:b .\n")
    with pytest.raises(DataError, match=r"line 2, .*\(The prefix \\ufeffx: has not been declared\): 'x:a x:r \\ufeffx"):
        list(rdf.read(tmp_path / "g.ttl", {}))


@settings(max_examples=150, deadline=None)
@given(
    ending=st.sampled_from(rdf.ENDINGS),
    base=st.sampled_from([None, "http://b/"]),
    changes=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 9), BYTES | st.binary(max_size=3), st.sampled_from([1, 1, 50])),
        max_size=4,
    ),
)
def test_a_changed_file_is_a_graph_or_refused(
    ending: str, base: str | None, changes: list[tuple[int, int, bytes, int]]
) -> None:
    content = SAMPLES[ending].encode()
    for place, removed, piece, times in changes:
        content = content[:place] + piece * times + content[place + removed :]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / f"g{ending}"
        path.write_bytes(content)
        try:
            for block in rdf.read(path, {}, base):
                assert all(label.encode() for column in block for label in column)
        except DataError as error:
            assert str(error).replace(str(path), "").isprintable()
