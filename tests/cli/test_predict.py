"""The verbs predict and evaluate: relations, neighbours, triples with probabilities, files, samples."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.fixture
def own(model: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may write into."""
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"


def test_relations_between_two_entities(model: Path, command: Command) -> None:
    output = command("predict", model, "--head", "usa", "--tail", "uk", "--top", "3")
    assert output.code == 0 and output.out.startswith("(usa, ?, uk)\nrank  answer")
    found = json.loads(command("predict", model, "--head", "usa", "--tail", "uk", "--exclude-known", "--json").out)
    assert {answer["known_in"] for answer in found["answers"]} == {None}


def test_relations_without_self_loops(command: Command) -> None:
    """Triples are scored by the embeddings only; as an answer the query entity is ranked last."""
    triple = ("predict", "umls-8", "--head", "virus", "--relation", "causes", "--tail", "virus")
    found = json.loads(command(*triple, "--json").out)
    assert -100 < found["score"] < 100 and found["rank"] == 135


def test_neighbours_name_the_distance(model: Path, whole_run: Path, command: Command) -> None:
    output = command("predict", model, "--neighbors", "usa", "--top", "2")
    assert output.out.startswith("nearest to usa, hyperbolic distance at curvature ")
    assert "(the median of its relations)\nrank  entity" in output.out
    assert "at curvature 0.5 (as given)" in command("predict", model, "--neighbors", "usa", "--curvature", "0.5").out
    flat = json.loads(command("predict", next(whole_run.glob("teachers/diste-*")), "--neighbors", "usa", "--json").out)
    assert flat["distance"] == "Euclidean distance" and len(flat["nearest"]) == 10


def test_probabilities_after_classification(own: Path, command: Command) -> None:
    triple = ("--head", "usa", "--relation", "embassy", "--tail", "uk")
    assert "probability" not in command("predict", own, *triple).out
    output = command("evaluate", own, "--task", "classification", "--details")
    assert output.code == 0, output.err
    assert "nations, triple classification: fitted on 199 true and 199 false triples of valid" in output.out
    assert "false triples: drawn from the entities at the same position of the relation in train" in output.out
    assert f"probabilities for `mulde predict` are in {own / 'calibration.json'}" in output.err
    found = json.loads(command("predict", own, *triple, "--json").out)
    assert found["triple"] == "(usa, embassy, uk)" and 0 < found["probability"] < 1
    out = own.parent / "scores.csv"
    queries = own.parent / "triples.csv"
    queries.write_text("usa,embassy,uk\nusa,embassy,?\n")
    assert command("predict", own, "--queries", queries, "--out", out, "--top", "1").code == 0
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["probability"]) == pytest.approx(found["probability"], abs=1e-5)
    assert float(rows[0]["score"]) == pytest.approx(found["score"], abs=1e-4)
    assert rows[1]["probability"] == ""


def test_negatives_of_the_user(own: Path, command: Command) -> None:
    files = []
    for split in ("valid", "test"):
        files.append(own.parent / f"{split}.txt")
        files[-1].write_text("uk\tembassy\tuk\nusa\tembassy\tusa\n")
    words = ("--valid-negatives", files[0], "--test-negatives", files[1], "--json")
    report = json.loads(command("evaluate", own, "--task", "classification", *words).out)
    assert report["negatives"] == "valid.txt and test.txt"
    assert report["triples"]["test false"] == 2


def test_a_file_of_queries(model: Path, command: Command, tmp_path: Path) -> None:
    queries, out = tmp_path / "queries.tsv", tmp_path / "answers.csv"
    queries.write_text("head\trelation\nusa\tembassy\nnowhere\tembassy\n")
    output = command("predict", model, "--queries", queries, "--out", out, "--top", "2")
    assert output.code == 0
    assert output.out.startswith(f"2 queries, 2 answers in {out} (")
    assert f"1 query could not be answered; see the column error of {out}" in output.err
    assert out.read_text().startswith("row,head,relation,tail,rank,score,known,error\n1,usa,embassy,")
    again = command("predict", model, "--queries", queries, "--out", out)
    assert again.code == 2 and again.err.endswith(f"mulde: {out} exists; remove it, or name another file\n")


def test_a_sample_of_the_test_split(own: Path, command: Command) -> None:
    (own / "test.json").unlink()
    output = command("evaluate", own, "--sample", "20")
    assert "both directions: 40 ranks\na random sample: 20 of 201 triples\n" in output.out
    assert not (own / "test.json").exists()  # which is for the whole split
    first = json.loads(command("evaluate", own, "--sample", "20", "--json").out)
    assert first["sample_of"] == 201
    assert (
        first["realistic"]
        != json.loads(command("evaluate", own, "--sample", "20", "--seed", "1", "--json").out)["realistic"]
    )
