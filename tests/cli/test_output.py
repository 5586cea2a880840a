"""What people see and what files hold, for names with control characters, in any encoding."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kge_data
import mulde
from kge_data.files.process_group import VARIABLES
from mulde import cli
from tests.cli.conftest import Command

HOSTILE = [
    "\x1b[31mred", "cr\rmid", "line\nbreak", "crlf\r\n", "nul\0x", "end\0", "\u202eevil", "c1\x9b31m", "\u2066isolate",
    "tab\tx", "del\x7f", "ls\u2028x", "=1+1", "@x", '"q" x', "a|b", "<b>x", "łódź 知",
]  # fmt: skip
NAMES = [*HOSTILE, *(f"p{i:02}" for i in range(12))]
RELATIONS = ["rel\x1b[1m", "like\ns", "knows"]
SMALL = ["--dim", "4", "--epochs", "1", "--negatives", "2", "--threads", "1", "--compile", "off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `mulde run` on a graph with hostile names, in a folder whose name is not UTF-8."""
    place = tmp_path_factory.mktemp("hostile")
    graph, folder = place / "graph", place / os.fsdecode(b"run\xff")
    graph.mkdir()
    count = len(NAMES)
    rows = [(NAMES[i], RELATIONS[s % 3], NAMES[(i + s) % count]) for i in range(count) for s in range(1, 11)]
    random.Random(0).shuffle(rows)
    for split, part in (("train", rows[120:]), ("valid", rows[:60]), ("test", rows[60:120])):
        with (graph / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(part)
    words = ["run", "--data", graph, *SMALL, "--teacher", "diste", "--teacher-dim", 4, "--top-k", 5, "--out", folder]
    assert cli.main(list(map(str, words))) == 0
    return folder


def plain(text: str) -> bool:
    """Whether a text has no control characters but line feeds."""
    return text.replace("\n", "").isprintable()


QUESTION = ["--head", HOSTILE[0], "--relation", RELATIONS[1]]
VERBS: list[list[str]] = [
    ["show", "{run}"],
    ["list", "runs", "{run}/.."],
    ["evaluate", "{run}", "--details"],
    ["evaluate", "{run}", "--task", "classification", "--details"],
    ["predict", "{run}", *QUESTION, "--top", "30"],
    ["predict", "{run}", *QUESTION, "--tail", HOSTILE[2]],
    ["predict", "{run}", "--neighbors", HOSTILE[3], "--top", "30"],
    ["predict", "{run}", *QUESTION, "--why"],
    ["explain", "{run}", *QUESTION, "--tail", HOSTILE[2]],
    ["discover", "{run}", "--top", "300"],
    ["export", "{run}", "--to", "tsv", "--out", "{new}/tables\x1b"],
    ["pack", "{run}", "--out", "{new}/bundle\x1b"],
]
REFUSED: list[list[str]] = [
    ["predict", "{run}", "--head", "no\x1b[31m\nsuch", "--relation", "knows"],
    ["predict", "{run}", *QUESTION, "--data", "no\x1b[31m\rsuch"],
    ["discover", "{run}", "--out", "{new}/facts.nt"],
    ["train", "roth\x1b[31m"],
    ["lst\x9b"],
]


@pytest.mark.parametrize("words", [*VERBS, *REFUSED], ids=lambda words: " ".join(words[:3:2]))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_terminals_get_printable_characters(
    words: list[str], encoding: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    code = cli.main([word.format(run=run, new=tmp_path) for word in words])
    texts = []
    for stream in streams.values():
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
    assert all(map(plain, texts)) and any(texts) and "Traceback" not in texts[1]
    assert code == (2 if words in REFUSED else 0)
    assert all(plain(path.read_text(encoding="utf-8")) for path in tmp_path.rglob("*.md"))


def cut(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows with fields up to the first NUL, where pandas before 3.1 ends them."""
    return [{name: value.partition("\0")[0] for name, value in row.items()} for row in rows]


def test_json_and_files_hold_the_names_unchanged(command: Command, run: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    answers = json.loads(command("predict", run, *QUESTION, "--top", "30", "--json").out)["answers"]
    assert {answer["identifier"] for answer in answers} == set(NAMES) - {HOSTILE[0]}  # masked
    queries = tmp_path / "queries.csv"
    with queries.open("w", newline="", encoding="utf-8") as stream:
        rows = [
            ("head", "relation", "tail"),
            *((name, RELATIONS[1], "") for name in HOSTILE),
            ("un\rknown", "knows", ""),
        ]
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(rows)
    for ending, separator in ((".csv", ","), (".tsv", "\t")):
        facts, out = tmp_path / f"facts{ending}", tmp_path / f"answers{ending}"
        assert command("discover", run, "--top", "1000", "--candidates", "all", "--out", facts).code == 0
        assert command("predict", run, "--queries", queries, "--out", out, "--top", "30").code == 0
        for path, column in ((facts, "head"), (out, "tail")):
            with path.open(newline="", encoding="utf-8") as stream:
                by_csv = list(csv.DictReader(stream, delimiter=separator))
            by_pandas = pandas.read_csv(path, sep=separator, dtype=str, keep_default_na=False).to_dict("records")
            assert cut(by_csv) == cut(by_pandas) and {row[column] for row in by_csv} - {""} == set(NAMES)
        assert by_csv[-1]["error"] == 'no entity is called "un\\rknown"'
    assert command("export", run, "--to", "tsv", "--out", tmp_path / "tables").code == 0
    table = pandas.read_csv(tmp_path / "tables/entities.tsv", sep="\t", keep_default_na=False)
    read = cut(table[["identifier", "label"]].to_dict("records"))
    assert read == cut([{"identifier": name, "label": name} for name in sorted(NAMES)])


def test_formats_that_would_lose_a_name_are_refused(command: Command, run: Path, tmp_path: Path) -> None:
    output = command("export", run, "--to", "numpy", "--out", tmp_path / "arrays")
    assert output.code == 2 and "numpy loses the end of the identifier 'end\\x00'; export to" in output.err
    assert list(tmp_path.iterdir()) == []


def test_parquet_holds_the_names_unchanged(command: Command, run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert command("export", run, "--to", "parquet", "--out", tmp_path / "tables").code == 0
    assert parquet.read_table(tmp_path / "tables/entities.parquet")["identifier"].to_pylist() == sorted(NAMES)


def test_the_page_has_no_control_characters(command: Command, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    assert command("report", run, "--out", tmp_path / "page.html").code == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(letter.isprintable() or letter in "\n\t\u2068\u2069" for letter in text)


def results(run: Path) -> Iterator[Any]:
    graph = kge_data.load(str(run.parent / "graph"))
    yield graph
    yield mulde.predict(run, head=HOSTILE[0], relation=RELATIONS[0], top=30)
    yield mulde.predict(run, queries=[(HOSTILE[0], RELATIONS[0], None)])
    yield mulde.evaluate(run)
    yield mulde.explain(run, head=HOSTILE[0], relation=RELATIONS[0], tail=HOSTILE[2])
    yield mulde.discover(run, top=300)


def test_results_in_python_print_without_control_characters(run: Path) -> None:
    for result in results(run):
        assert plain(repr(result)), type(result)
        assert plain(result._repr_html_() if hasattr(result, "_repr_html_") else ""), type(result)


@pytest.mark.parametrize("verb", [None, *cli.verbs()])
def test_help_in_ascii(verb: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["--help"] if verb is None else [verb, "--help-all"]) == 0
    assert stream.tell() > 100


def test_a_rank_alone_does_not_silence_a_process(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert "mulde" in command("list", "methods").out
    for name, value in zip(VARIABLES, ("1", "2", "1", "2", "127.0.0.1", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    assert command("list", "methods").out == ""
    assert "no verb" in command("lst").err
