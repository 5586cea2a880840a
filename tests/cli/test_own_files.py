"""What the verbs say about files of one's own, and the options that decide how they are read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import kge_data
from mulde.kge.training import parallel
from tests.cli.conftest import Command

TINY = ["--dim", "4", "--epochs", "1", "--negatives", "2", "--threads", "1"]
FACTS = [
    (f"p{person:02}", relation, f"p{person * times % 20:02}")
    for relation, times in (("knows", 7), ("likes", 11), ("pays", 13))
    for person in range(20)
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with columns of unknown names, in which every fourth head has a blank too many."""
    rows = [f"{h} ,{t},{r},1999" if number % 4 == 0 else f"{h},{t},{r},1999" for number, (h, r, t) in enumerate(FACTS)]
    (tmp_path / "people.csv").write_text("who,whom,does,when\n" + "\n".join(rows))
    return tmp_path / "people.csv"


def test_what_was_read_is_printed(table: Path, command: Command, tmp_path: Path) -> None:
    output = command("train", "roth", "--data", table, "--columns", "who,does,whom", *TINY, "--out", tmp_path / "run")
    assert output.code == 0
    assert output.err.startswith(
        f"mulde: read {table}: head = who, relation = does, tail = whom; ignored: when\n"
        "mulde: first triple: ('p00 ', 'knows', 'p00')\n"
        "mulde: warning: 10 entities differ only in blanks: 'p00' | 'p00 '; 'p04' | 'p04 '; 'p08' | 'p08 ' and 2 more "
        "groups; merge them with --normalize (normalize=True in Python).\n"
        "mulde: people: 25 entities, 3 relations, "
    )
    assert (
        command("predict", tmp_path / "run", "--head", "p00 ", "--relation", "likes").code == 0
    )  # its source is read alike


def test_nothing_is_said_of_published_graphs(command: Command, tmp_path: Path) -> None:
    output = command("train", "roth", "--data", "nations", *TINY, "--out", tmp_path / "run")
    assert output.err.startswith("mulde: nations: 14 entities")


def test_a_run_keeps_how_its_files_are_read(
    table: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, **_: ThreadPoolExecutor(1))
    options = ["--columns", "1,3,2", "--normalize", "--teacher", "roth", "--teacher", "diste", "--teacher-dim", "4"]
    run = tmp_path / "run"
    words = ["run", "--data", table, *options, *TINY, "--top-k", "5", "--no-baseline", "--parallel", "2", "--out", run]
    output = command(*words)
    assert output.code == 0, output.err
    assert "mulde: normalized 5 labels: 5 fewer entities, 0 fewer relations; 0 triples became equal" in output.err
    assert output.err.count("finished before and reused") == 2  # the teachers were trained on the same graph
    settings = json.loads((run / "summary.json").read_text())["settings"]
    assert (settings["columns"], settings["normalize"]) == ("1,3,2", True)
    graph = kge_data.load(table, columns="1,3,2", normalize=True)
    assert json.loads((run / "junior/model.json").read_text())["data"]["checksum"] == graph.checksum
    assert graph.entities == tuple(sorted({h for h, _, _ in FACTS} | {"whom", "who"}))


def test_columns_of_queries(model: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("land, what\nusa, treaties\n")
    words = ["predict", model, "--queries", tmp_path / "q.csv", "--out", tmp_path / "a.csv", "--top", "2"]
    output = command(*words)
    assert (output.code, "found land,  what" in output.err or "found land, what" in output.err) == (2, True)
    output = command(*words, "--columns", "land,what,")
    assert output.code == 0, output.err
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert (len(rows), rows[1].startswith("1,usa,treaties,")) == (3, True)
    output = command("predict", model, "--head", "usa", "--relation", "treaties", "--columns", "1,2,3")
    assert (output.code, output.err) == (2, "mulde: --columns belongs to --queries FILE; give both\n")
