from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kge_data
from kge_data.errors import DataError, UnknownName
from kge_data.published import catalogue

WriteGraph = Callable[..., Path]


def _facts(graph: kge_data.TripleSet) -> list[list[tuple[str, str, str]]]:
    return [
        sorted((graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in part.tolist())
        for part in (graph.train, graph.valid, graph.test)
    ]


def test_a_folder(folder: Path) -> None:
    graph = kge_data.load(folder)
    assert graph.name == "people"
    assert graph.entities == ("anna", "bert", "carl")
    assert graph.relations == ("knows", "likes")
    assert graph.train.tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 0], [0, 1, 2]]
    assert graph.valid.tolist() == [[1, 1, 0]]
    assert graph.test.tolist() == [[2, 0, 0]]
    assert graph.train.dtype == np.int64
    assert repr(graph) == "TripleSet('people': 3 entities, 2 relations, 4 train / 1 valid / 1 test triples)"


def test_the_order_of_lines_changes_neither_ids_nor_checksum(folder: Path, write_graph: WriteGraph) -> None:
    graph = kge_data.load(folder)
    lines = (folder / "train.txt").read_text().splitlines(keepends=True)
    other = kge_data.load(write_graph(folder.parent / "other", train="".join(reversed(lines))))
    assert other.entities == graph.entities
    assert other.checksum == graph.checksum
    assert np.array_equal(other.train, graph.train[::-1])


def test_a_triple_in_another_split_changes_the_checksum(folder: Path, write_graph: WriteGraph) -> None:
    swapped = write_graph(
        folder.parent / "swapped",
        valid=(folder / "test.txt").read_text(),
        test=(folder / "valid.txt").read_text(),
    )
    assert kge_data.load(swapped).checksum != kge_data.load(folder).checksum


def test_the_checksum_is_that_of_sorted_lines(folder: Path) -> None:
    text = "".join(
        f"{split}\n" + "".join(sorted((folder / f"{split}.txt").read_text().splitlines(keepends=True)))
        for split in ("train", "valid", "test")
    )
    assert kge_data.load(folder).checksum == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_the_checksum_keeps_labels_with_separators_apart() -> None:
    one = kge_data.from_triples([("a\tr", "s", "b")], [], [])
    other = kge_data.from_triples([("a", "r\ts", "b")], [], [])
    assert one.checksum != other.checksum
    assert (
        kge_data.from_triples([("a\nb", "r", "c")], [], []).checksum
        != kge_data.from_triples([("a\\nb", "r", "c")], [], []).checksum
    )


def test_triples_in_memory_are_the_same_graph_as_in_files(folder: Path) -> None:
    graph = kge_data.load(folder)
    same = kge_data.from_triples(*_facts(graph))
    assert same.checksum == graph.checksum
    assert same.entities == graph.entities


def test_names_beside_the_triples_are_used(folder: Path) -> None:
    (folder / "entity2text.txt").write_text("anna\tAnna Seghers\nnobody\tNobody\nbert\t\n")
    (folder / "relations_en.json").write_text('{"knows": {"label": "is acquainted with"}, "likes": {"label": null}}')
    graph = kge_data.load(folder)
    assert graph.entity_text == {0: "Anna Seghers"}
    assert graph.relation_text == {0: "is acquainted with"}
    assert graph.entity_id("anna seghers") == 0
    assert [graph.entity_label(number) for number in range(3)] == ["Anna Seghers", "bert", "carl"]
    assert [graph.relation_label(number) for number in range(2)] == ["is acquainted with", "likes"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "entity2text.txt",
            b"anna Anna\n",
            r"entity2text.txt, line 1: expected identifier<TAB>name, found 'anna Anna'",
        ),
        ("entity2text.txt", b"anna\tA\nbert\t\xe9\n", "entity2text.txt, line 2: byte 6 is not valid UTF-8"),
        ("entities_en.json", b"{", r'entities_en.json: expected \{identifier: \{"label": name\}\} in JSON'),
        ("entities_en.json", b'{"anna": "Anna"}', "entities_en.json: expected .*; 'anna' has 'Anna'"),
        (
            "entities_en.json",
            b'{"anna": {"label": 5}}',
            "entities_en.json: .*'anna' has 5 as its name, which is not a text",
        ),
        ("entities_en.json", b'{"anna": {"label": NaN}}', "'anna' has nan as its name"),
        ("entities_en.json", b'{"anna": {"label": [1]}}', r"'anna' has \[1\] as its name"),
        ("entities_en.json", b'{"anna": {"label": "\\ud800"}}', "the name of 'anna', '.*ud800', has half a character"),
        ("entities_en.json", b'{"a": {"label": "A"}, "a": {"label": "B"}}', "the key 'a' is given twice"),
        ("entities_en.json", b'{"a": {"label": %s}}' % (b"9" * 5000), "expected .* integer string conversion"),
        ("entities_en.json", b"[" * 100_000, "maximum recursion depth"),
        ("entities_en.json", b"[]", "entities_en.json: expected"),
        (
            "relation2text.txt",
            b"r\tone\nr\ttwo\n",
            "relation2text.txt, line 2: 'r' has a second name, 'two' after 'one'",
        ),
    ],
)
def test_damaged_names(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        kge_data.load(folder)


def test_a_missing_split(folder: Path) -> None:
    (folder / "valid.txt").unlink()
    with pytest.raises(
        DataError, match=r"no file for the split valid; expected valid\.txt .* found test\.txt, train\.txt"
    ):
        kge_data.load(folder)


def test_a_split_that_is_there_twice(folder: Path) -> None:
    shutil.copy(folder / "valid.txt", folder / "dev.tsv")
    with pytest.raises(DataError, match=r"valid\.txt and dev\.tsv could both be valid; keep one"):
        kge_data.load(folder)


def test_an_empty_split(folder: Path) -> None:
    (folder / "test.txt").write_text("\n")
    with pytest.raises(DataError, match=r"test\.txt: holds no triple"):
        kge_data.load(folder)


def test_a_damaged_line_is_reported_with_its_file(folder: Path) -> None:
    (folder / "valid.txt").write_text("bert\tlikes\n")
    with pytest.raises(DataError, match=r"people/valid\.txt, line 1: expected 3 tab-separated fields"):
        kge_data.load(folder)


def test_a_single_file_is_split_by_seed(tmp_path: Path) -> None:
    file = tmp_path / "graph.tsv"
    file.write_text("".join(f"e{h}\tr{h % 2}\te{t}\n" for h in range(12) for t in range(12)))
    graph = kge_data.load(file)
    assert graph.name == "graph"
    assert [len(graph.train), len(graph.valid), len(graph.test)] == [130, 7, 7]
    assert np.array_equal(kge_data.load(file).test, graph.test)
    assert not np.array_equal(kge_data.load(file, seed=1).test, graph.test)


def test_a_single_file_too_small_to_split(tmp_path: Path) -> None:
    file = tmp_path / "graph.tsv"
    file.write_text("a\tr\tb\n")
    with pytest.raises(DataError, match=r"graph\.tsv: 1 different triples cannot be split"):
        kge_data.load(file)


@pytest.mark.parametrize("name", ["umls", "UMLS"])
def test_a_published_name(name: str) -> None:
    assert kge_data.load(name).name == "umls"


def test_names_that_are_nothing() -> None:
    with pytest.raises(
        UnknownName, match='no graph is called "ulms", and there is no such file or folder; nearest: umls;'
    ):
        kge_data.load("ulms")
    with pytest.raises(DataError, match=r"data/umls\.tsv: no such file or folder"):
        kge_data.load("data/umls.tsv")
    with pytest.raises(DataError, match=r"files that end in '\.py' are not known; use \.txt, "):
        kge_data.load(__file__)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder as KGE_DATA_HOME, with a copy of UMLS."""
    source = catalogue.local_folder(catalogue.record("umls"), None)
    assert source is not None
    shutil.copytree(source, tmp_path / "umls", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path


def test_the_home_comes_before_the_package(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kge_data.load("umls", root=home).num_entities == 135
    (home / "umls" / "test.txt").unlink()
    with pytest.raises(DataError, match="no file for the split test"):
        kge_data.load("umls", root=home)
    monkeypatch.setenv("KGE_DATA_HOME", str(home))
    with pytest.raises(DataError, match="no file for the split test"):
        kge_data.load("umls")


def test_a_published_graph_with_a_missing_line_is_refused(home: Path) -> None:
    lines = (home / "umls" / "train.txt").read_text().splitlines(keepends=True)
    (home / "umls" / "train.txt").write_text("".join(lines[:-1]))
    with pytest.raises(
        DataError, match="umls has 5,216 train triples, here are 5,215; the files are incomplete or of another version"
    ):
        kge_data.load("umls", root=home)
    assert len(kge_data.load(home / "umls").train) == 5215


def test_a_published_graph_with_a_changed_line_is_refused(home: Path) -> None:
    lines = (home / "umls" / "train.txt").read_text().splitlines(keepends=True)
    head, relation, tail = lines[0].split("\t")
    lines[0] = f"{tail.strip()}\t{relation}\t{head}\n"
    (home / "umls" / "train.txt").write_text("".join(lines))
    with pytest.raises(DataError, match="the counts are those of umls, but the triples are others"):
        kge_data.load("umls", root=home)


def test_a_graph_that_is_nowhere() -> None:
    record = replace(catalogue.record("umls"), package=("no_such_package", "umls"))
    with pytest.raises(DataError, match="umls: is part of the package no_such_package, which is not installed"):
        kge_data.load(record)
    with pytest.raises(
        DataError,
        match=r"put train\.txt, valid\.txt and test\.txt into a folder WN18RR, and set KGE_DATA_HOME",
    ):
        kge_data.load("wn18rr", download=False)


def test_loading_needs_numpy_only() -> None:
    program = (
        "import sys, kge_data; kge_data.load('umls'); "
        "late = ('torch', 'pykeen', 'mulde', 'pandas', 'filelock', 'pyoxigraph', 'pyarrow', 'zstandard'); "
        "print([name for name in late if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
