"""The verbs predict and evaluate: relations, neighbours, triples with probabilities, files, samples."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from pathlib import Path

import pytest

import kge_data
from mulde.kge.inference import probability
from mulde.kge.inference.base_rate import odds_of_candidates
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
    """As an answer the query entity is masked."""
    triple = ("predict", "umls-8", "--head", "virus", "--relation", "causes", "--tail", "virus")
    found = json.loads(command(*triple, "--json").out)
    assert (found["score"], found["rank"], found["graph_prior"]) == (None, 135, True)
    assert "no score, because the relation has no self-loop in train" in command(*triple).out
    only = json.loads(command(*triple, "--embeddings-only", "--json").out)
    assert -100 < only["score"] < 100 and only["rank"] < 135 and not only["graph_prior"]


def test_neighbours_name_the_distance(model: Path, whole_run: Path, command: Command) -> None:
    output = command("predict", model, "--neighbors", "usa", "--top", "2")
    assert output.out.startswith("nearest to usa, hyperbolic distance at curvature ")
    assert "(the median of its relations)\nrank  entity" in output.out
    assert "at curvature 0.5 (as given)" in command("predict", model, "--neighbors", "usa", "--curvature", "0.5").out
    flat = json.loads(command("predict", next(whole_run.glob("teachers/diste-*")), "--neighbors", "usa", "--json").out)
    assert flat["distance"] == "Euclidean distance" and len(flat["nearest"]) == 10


def test_probabilities_are_fitted_once(own: Path, command: Command) -> None:
    triple = ("--head", "usa", "--relation", "embassy", "--tail", "uk")
    assert "probability" not in command("predict", own, *triple, "--no-probability").out
    assert not (own / "calibration.json").exists()
    output = command("predict", own, *triple)
    assert output.err == (
        "mulde: running on cpu, 1 thread\n"
        "mulde: probabilities were fitted on 199 validation triples; the calibration is kept in "
        f"{own / 'calibration.json'}\n"
    )
    assert "\nprobability 0." in output.out and ", by the embeddings only, assuming the base rate" in output.out
    again = command("predict", own, *triple, "--json")
    found = json.loads(again.out)
    assert (
        again.err == "mulde: running on cpu, 1 thread\n"
        and found["triple"] == "(usa, embassy, uk)"
        and 0 < found["probability"] < 1
    )
    kept = (own / "calibration.json").read_bytes()
    assert command("evaluate", own, "--task", "classification").code == 0
    assert (own / "calibration.json").read_bytes() == kept  # the same that evaluate fits
    answers = json.loads(command("predict", own, *triple[:4], "--json", "--top", "14").out)["answers"]
    uk = next(answer for answer in answers if answer["identifier"] == "uk")
    assert (uk["score"], uk["rank"]) == pytest.approx((found["score"], found["rank"]), abs=1e-5)
    graph = kge_data.load("nations")
    odds = odds_of_candidates(graph)
    assert odds is not None  # the base rate of a list, by hand
    shift = odds[2 * graph.relation_id("embassy")] / json.loads(kept)["odds"]
    in_list = found["probability"] / (1 - found["probability"]) * shift
    assert uk["probability"] == pytest.approx(in_list / (1 + in_list), abs=1e-5)
    out, queries = own.parent / "scores.csv", own.parent / "triples.csv"
    queries.write_text("usa,embassy,uk\nusa,embassy,?\n")
    assert command("predict", own, "--queries", queries, "--out", out, "--top", "14").code == 0
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    both = [float(row["probability"]) for row in rows if row["tail"] == "uk"]
    assert both == pytest.approx([found["probability"], uk["probability"]], abs=1e-5)
    assert float(rows[0]["score"]) == pytest.approx(found["score"], abs=1e-4)


def test_a_calibration_that_cannot_be_kept(own: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("mulde.kge.inference.probability.save_calibration", refused)
    output = command("predict", own, "--head", "usa", "--relation", "embassy")
    assert "probability" in output.out
    assert output.err.endswith(f"the calibration is not kept ({own}: Permission denied)\n")


def test_too_few_validation_triples(own: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default split of 2,000 triples has enough; with fewer, a sentence says why there is no probability."""
    assert probability.FEWEST <= 98
    monkeypatch.setattr(probability, "FEWEST", 200)
    output = command("predict", own, "--head", "usa", "--relation", "embassy")
    assert output.err.endswith("mulde: no probabilities: they need 200 validation triples, and nations has 199\n")
    assert output.code == 0 and "probability" not in output.out


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
    assert out.read_text().startswith("row,head,relation,tail,rank,score,probability,known_in,error\n1,usa,embassy,")
    again = command("predict", model, "--queries", queries, "--out", out)
    assert again.code == 2 and again.err.endswith(f"mulde: {out}: exists already; choose another name, or remove it\n")


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


def test_candidates_and_sets(own: Path, command: Command, tmp_path: Path) -> None:
    query = ("--head", "usa", "--relation", "embassy")
    names, types, bundle = tmp_path / "names.txt", tmp_path / "types.tsv", tmp_path / "nations.zip"
    names.write_text("uk\ncuba\n")
    types.write_text("uk\tisland\ncuba\tisland\nindia\tsubcontinent\n")
    listed = command("predict", own, *query, "--candidates", names)
    assert listed.out.startswith("(usa, embassy, ?), among 2 of 14 entities: those listed\n")
    assert command("pack", own, "--without-triples", "--types", types, "--out", bundle).code == 0
    found = json.loads(command("predict", bundle, *query, "--type", "island", "--json").out)
    assert {answer["identifier"] for answer in found["answers"]} == {"uk", "cuba"} and len(found["answers"]) == 2
    other = command("predict", bundle, *query, "--type", "lake")
    assert other.code == 2 and "the largest of 2 types are island (2), subcontinent (1)" in other.err
    assert "--typed needs the training triples" in command("predict", bundle, *query, "--typed").err

    printed = command("predict", own, *query, "--coverage", "0.85", "--top", "1")
    assert " candidates contain the answer with 85% coverage" in printed.out.splitlines()[1]
    assert "this is no promise for a single query" in printed.out
    assert f"the result is kept in {own / 'coverage.json'}" in printed.err
    kept = json.loads(command("predict", own, *query, "--coverage", "0.85", "--json").out)
    assert kept["size"] == len(kept["answers"]) and "train" not in {each["known_in"] for each in kept["answers"]}
    without = json.loads(command("predict", bundle, *query, "--coverage", "0.85", "--json").out)
    assert (
        without["candidates"] >= kept["candidates"]
    )  # answers in train are candidates, for they are not in the bundle


def test_options_that_do_not_fit(command: Command) -> None:
    query = ("predict", "umls-8", "--head", "virus", "--relation", "causes")
    for words, message in (
        (("--coverage", "0.9", "--typed"), "--coverage ranks all entities but the known answers in train"),
        (("--coverage", "0.995"), "expected a coverage of at most 0.99, got 0.995"),
        (("--coverage", "0.9", "--tail", "human"), "--coverage is for predicting heads or tails"),
        (("--tail", "human", "--typed"), "--typed are for predicting heads and tails"),
        (("--types", "x.tsv"), "a file of types belongs to type or typed"),
    ):
        output = command(*query, *words)
        assert output.code == 2 and message in output.err, output.err


def test_figures_by_type(own: Path, command: Command) -> None:
    output = command("evaluate", own, "--typed", "--details")
    assert output.code == 0 and "MRR typed" in output.out and "count as not found" in output.out
    assert "precision of the first answers to a query: " in output.out
    assert "typed" not in json.loads((own / "test.json").read_text())  # of the evaluation as always
    assert "--types belongs to --typed" in command("evaluate", own, "--types", "x.tsv").err
    assert "--typed is for ranking" in command("evaluate", own, "--typed", "--task", "classification").err
