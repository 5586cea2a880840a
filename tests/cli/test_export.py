"""The verb export, from its options to its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mulde.kge.inference.onnx_runtime import OnnxScorer
from tests.cli.conftest import Command


@pytest.mark.parametrize("to", ["fp16", "int8"])
def test_quantised(to: str, command: Command, tmp_path: Path) -> None:
    output = command("export", "umls-8", "--to", to, "--out", tmp_path / "small.zip")
    assert (output.code, output.err) == (0, "")
    title, _, protocol, header, _, valid, test, *_, size, last = output.out.splitlines()
    assert title.startswith(f"roth, 8 dimensions, {'float16' if to == 'fp16' else 'int8'}, umls: test MRR 0.8")
    assert protocol == "link prediction, filtered, both directions, realistic ranks, with graph prior"
    assert header.split() == ["split", "MRR", "before", "MRR", "after", "lost", "Hits@10"]
    assert (valid.split()[0], test.split()[0]) == ("valid", "test")
    assert abs(float(test.split()[3])) < 0.01
    assert size.startswith(f"{tmp_path}/small.zip: 0.02")
    assert last.startswith("contains the triples of umls (5,216 train, 652 valid, 661 test); --without-triples")
    after = json.loads(command("evaluate", "--model", tmp_path / "small.zip", "--json").out)["realistic"]["mrr"]
    assert f"{after:.4f}" == test.split()[2]


def test_too_large_a_loss_writes_nothing(command: Command, tmp_path: Path) -> None:
    output = command("export", "umls-8", "--to", "int8", "--out", tmp_path / "small", "--max-loss", "-1")
    assert (output.code, output.out) == (2, "")
    assert "of the valid MRR (0.95" in output.err and "more than --max-loss -1; nothing was written" in output.err
    assert list(tmp_path.iterdir()) == []


def test_onnx_with_latency(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    monkeypatch.setattr("mulde.kge.inference.latency.random_queries.__defaults__", (3, 0))
    words = ["--to", "onnx", "--out", tmp_path / "o.zip", "--latency", "--threads", "1"]
    output = command("export", "umls-8", *words)
    assert (output.code, output.err) == (0, "")
    assert "\n\nsingle queries, 1 thread\nengine " in output.out
    engines = [line.rsplit(maxsplit=2)[0] for line in output.out.splitlines()[-3:]]
    assert engines == ["torch", "ONNX", "ONNX, int8 entities"]
    assert "\nmulde predict o.zip --head " in command("show", tmp_path / "o.zip").out
    assert "\ncontains the triples of umls (5,216 train, 652 valid, 661 test)" in output.out
    predicted = command("predict", "umls-8", "--head", "virus", "--relation", "causes", "--json").out
    expected = [(answer["label"], answer["known_in"]) for answer in json.loads(predicted)["answers"]]
    answers = OnnxScorer(tmp_path / "o.zip").predict(head="virus", relation="causes")
    assert [(answer.label, answer.known_in) for answer in answers] == expected


def test_onnx_without_triples(command: Command, tmp_path: Path) -> None:
    """No graph prior and no known answers, each said in a sentence; the same probabilities."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    place, query = tmp_path / "o.zip", ["--head", "virus", "--relation", "causes", "--top", "3"]
    output = command("export", "umls-8", "--to", "onnx", "--out", place, "--without-triples")
    assert output.code == 0 and output.out.splitlines()[-1] == (
        "without the triples of umls (5,216 train, 652 valid, 661 test): no graph prior, no filter of known answers, "
        "and evaluation with --data only"
    )
    answers = command("predict", place, *query).out.splitlines()
    assert answers[1].split() == ["rank", "answer", "score", "probability"]
    only = command("predict", "umls-8", *query, "--embeddings-only", "--json").out
    found = json.loads(command("predict", place, *query, "--json").out)["answers"]
    for ours, theirs in zip(found, json.loads(only)["answers"], strict=True):
        assert (ours["identifier"], ours["known_in"]) == (theirs["identifier"], None)
        triple = [*query[:4], "--tail", theirs["identifier"], "--embeddings-only", "--json"]
        alone = json.loads(command("predict", "umls-8", *triple).out)  # it has no base rate of a list either
        assert ours["probability"] == pytest.approx(alone["probability"], abs=1e-4)
    refused = command("predict", place, *query, "--exclude-known")
    assert refused.code == 2 and refused.err == (
        "mulde: known answers cannot be left out: this bundle was made without the triples of umls; leave out "
        "--exclude-known, or export the model with its triples\n"
    )
    assert command("export", "umls-8", "--to", "pykeen", "--out", tmp_path / "p", "--without-triples").err == (
        "mulde: --without-triples: PyKEEN's folder needs the training triples; choose another format\n"
    )


def test_other_scores_are_refused(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("mulde.kge.export.onnx.to_onnx", lambda model, int8: b"")
    monkeypatch.setattr("mulde.kge.export.onnx.largest_difference", lambda *_: 0.5)
    output = command("export", "umls-8", "--to", "onnx", "--out", tmp_path / "o.zip")
    assert output.err == (
        "mulde: the ONNX model's scores differ by 5.0e-01 from torch's, more than 0.0001; nothing was written; "
        "check that the scores fit float32, or report an error of the exporter\n"
    )
    assert not (tmp_path / "o.zip").exists()


def test_tables_are_listed_and_never_overwritten(command: Command, tmp_path: Path) -> None:
    words = ["export", "umls-8", "--to", "tsv", "--out", tmp_path / "vectors"]
    listed = command(*words).out.splitlines()
    assert listed[0] == str(tmp_path / "vectors")
    assert [line.split()[0] for line in listed[3:-1]] == ["about.json", "entities.tsv", "relations.tsv"]
    assert listed[-1] == "contains the names of umls, none of its triples"
    assert command(*words).err == f"mulde: {tmp_path}/vectors: exists already; choose another name, or remove it\n"


@pytest.mark.thorough
def test_tables_of_the_bundle_with_matrices(command: Command, tmp_path: Path) -> None:
    output = command("export", "fb15k-237-32", "--to", "tsv", "--out", tmp_path / "tables")
    assert output.code == 0
    header, *rows = (tmp_path / "tables/relations.tsv").read_text().splitlines()
    assert len(rows) == 2 * 237 and len(header.split("\t")) == 4 + 32 * 32 + 32
    assert {len(row.split("\t")) for row in rows} == {4 + 32 * 32 + 32}
