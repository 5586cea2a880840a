"""predict and evaluate beyond one tail: relations, neighbours, whole triples with probabilities, files."""

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
    said = command("predict", model, "--head", "usa", "--tail", "uk", "--top", "3")
    assert said.code == 0 and said.out.startswith("(usa, ?, uk)\nrank  answer")
    found = json.loads(command("predict", model, "--head", "usa", "--tail", "uk", "--exclude-known", "--json").out)
    assert {answer["known_in"] for answer in found["answers"]} == {None}


def test_relations_without_loops(command: Command) -> None:
    """Whole triples are scored by vectors; as an answer the entity asked about is the last."""
    triple = ("predict", "umls-8", "--head", "virus", "--relation", "causes", "--tail", "virus")
    found = json.loads(command(*triple, "--json").out)
    assert -100 < found["score"] < 100 and found["rank"] == 135


def test_neighbours_say_which_distance(model: Path, whole_run: Path, command: Command) -> None:
    said = command("predict", model, "--neighbors", "usa", "--top", "2")
    assert said.out.startswith("nearest to usa, hyperbolic distance at curvature ")
    assert "(the median of its relations)\nrank  entity" in said.out
    assert "at curvature 0.5 (as asked)" in command("predict", model, "--neighbors", "usa", "--curvature", "0.5").out
    flat = json.loads(command("predict", whole_run / "teachers/diste", "--neighbors", "usa", "--json").out)
    assert flat["distance"] == "Euclidean distance" and len(flat["nearest"]) == 10


def test_probabilities_after_classification(own: Path, command: Command) -> None:
    triple = ("--head", "usa", "--relation", "embassy", "--tail", "uk")
    assert "probability" not in command("predict", own, *triple).out
    said = command("evaluate", own, "--task", "classification", "--details")
    assert said.code == 0, said.err
    assert "nations, is a triple true? fitted on 199 true and 199 false triples of valid" in said.out
    assert "false triples: drawn among the entities seen there with the relation" in said.out
    assert f"probabilities for `mulde predict` are in {own / 'calibration.json'}" in said.err
    found = json.loads(command("predict", own, *triple, "--json").out)
    assert found["triple"] == "(usa, embassy, uk)" and 0 < found["probability"] < 1
    out = own.parent / "scores.csv"
    questions = own.parent / "triples.csv"
    questions.write_text("usa,embassy,uk\nusa,embassy,?\n")
    assert command("predict", own, "--queries", questions, "--out", out, "--top", "1").code == 0
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


def test_a_file_of_questions(model: Path, command: Command, tmp_path: Path) -> None:
    questions, out = tmp_path / "questions.tsv", tmp_path / "answers.csv"
    questions.write_text("head\trelation\nusa\tembassy\nnowhere\tembassy\n")
    said = command("predict", model, "--queries", questions, "--out", out, "--top", "2")
    assert said.code == 0
    assert said.out.startswith(f"2 questions, 2 answers in {out} (")
    assert f"1 question could not be answered; the column error of {out} says why" in said.err
    assert out.read_text().startswith("row,head,relation,tail,rank,score,known,error\n1,usa,embassy,")
    again = command("predict", model, "--queries", questions, "--out", out)
    assert (
        again.code == 2
        and again.err == f"mulde: {out} exists and is not overwritten; remove it, or name another file\n"
    )


def test_a_sample_of_the_test_split(own: Path, command: Command) -> None:
    (own / "test.json").unlink()
    said = command("evaluate", own, "--sample", "20")
    assert "both directions: 40 rankings\na random sample: 20 of 201 triples\n" in said.out
    assert not (own / "test.json").exists()  # which is for the whole split
    first = json.loads(command("evaluate", own, "--sample", "20", "--json").out)
    assert first["sample_of"] == 201
    assert (
        first["realistic"]
        != json.loads(command("evaluate", own, "--sample", "20", "--seed", "1", "--json").out)["realistic"]
    )
