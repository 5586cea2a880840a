"""The verb discover."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.conftest import Command


def test_a_table(command: Command) -> None:
    output = command("discover", "umls-8", "--threads", "1")
    assert output.code == 0
    lines = output.out.splitlines()
    assert lines[0].startswith("umls: the 20 likeliest of ") and len(lines) == 23
    assert lines[1].split() == ["rank", "head", "relation", "tail", "score", "probability", "known"]
    assert "mulde: searched " in output.err


def test_relations_and_their_limit_as_json(command: Command) -> None:
    words = ("--relation", "causes", "--relation", "treats", "--per-relation", "3", "--known", "train", "--json")
    result = json.loads(command("discover", "umls-8", "--threads", "1", *words).out)
    assert sorted(fact["relation"] for fact in result["facts"]) == ["causes"] * 3 + ["treats"] * 3
    assert {fact["known"] for fact in result["facts"]} <= {None, "valid", "test"}
    assert result["graph"] == "umls" and result["graph_prior"] is True
    without = json.loads(command("discover", "umls-8", "--threads", "1", *words, "--no-graph-prior").out)
    assert without["graph_prior"] is False and without["candidates"] == result["candidates"]


def test_a_file(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "facts.csv"
    output = command("discover", "umls-8", "--threads", "1", "--out", out)
    assert output.code == 0 and f"mulde: 1,000 facts are in {out}" in output.err
    assert output.out.endswith("980 more\n")
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1_000 and rows[0]["rank"] == "1" and rows[0]["known"] == ""
    before = out.read_bytes()
    again = command("discover", "umls-8", "--out", out)
    assert again.code == 2 and "exists already" in again.err and out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["facts.csv"]


def test_bad_options_are_refused_before_the_search(command: Command, tmp_path: Path) -> None:
    assert "N-Triples hold IRIs" in command("discover", "umls-8", "--out", tmp_path / "facts.nt").err
    assert (
        "--top: should be a whole number of at least 1 or empty, got 0"
        in command("discover", "umls-8", "--top", "0").err
    )
    unknown = command("discover", "umls-8", "--relation", "cause")
    assert unknown.code == 2 and "causes" in unknown.err
