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
    assert (
        "Use\n\n```python\nfrom mulde.kge.inference.onnx_runtime import OnnxScorer"
        in command("show", tmp_path / "o.zip").out
    )
    predicted = command("predict", "umls-8", "--head", "virus", "--relation", "causes", "--json").out
    expected = [(answer["label"], answer["known_in"]) for answer in json.loads(predicted)["answers"]]
    answers = OnnxScorer(tmp_path / "o.zip").predict(head="virus", relation="causes")
    assert [(answer.label, answer.known_in) for answer in answers] == expected


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
    assert [line.split()[0] for line in listed[3:]] == ["about.json", "entities.tsv", "relations.tsv"]
    assert command(*words).err == f"mulde: {tmp_path}/vectors: exists already; choose another name, or remove it\n"


@pytest.mark.thorough
def test_tables_of_the_bundle_with_matrices(command: Command, tmp_path: Path) -> None:
    output = command("export", "fb15k-237-32", "--to", "tsv", "--out", tmp_path / "tables")
    assert output.code == 0
    header, *rows = (tmp_path / "tables/relations.tsv").read_text().splitlines()
    assert len(rows) == 2 * 237 and len(header.split("\t")) == 4 + 32 * 32 + 32
    assert {len(row.split("\t")) for row in rows} == {4 + 32 * 32 + 32}
