"""pack, and bundles in the place of run folders, without the data set beside them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import mulde
from kge_data.errors import DataError
from mulde import pretrained
from mulde.errors import UsageError
from mulde.kge.storage import bundle
from tests.cli.conftest import RUNNING, Command


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph is found anywhere."""

    def nowhere(name: Any, **_: Any) -> None:
        raise DataError(f"{name}: not found")

    monkeypatch.setattr("mulde.kge.storage.graph.load_graph", nowhere)


@pytest.mark.parametrize("form", ["nations.zip", "nations"])
def test_a_bundle_takes_the_place_of_its_run(
    form: str, model: Path, command: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = tmp_path / form
    output = command("pack", model, "--out", place)
    assert (output.code, output.err) == (0, "")
    assert output.out.startswith("roth, 4 dimensions, float32, nations: test MRR 0.")
    before = json.loads(command("evaluate", model, "--json").out)
    query = ["--head", "usa", "--relation", "embassy", "--json"]
    answers = json.loads(command("predict", model, *query).out)
    files = sorted(place.iterdir()) if place.is_dir() else []

    request.getfixturevalue("offline")
    after = json.loads(command("evaluate", "--model", place, "--json").out)
    assert after["realistic"] == pytest.approx(before["realistic"])
    assert json.loads(command("predict", "--model", place, *query).out) == answers
    assert answers["answers"][0]["known_in"] in (None, "train", "valid", "test")
    assert json.loads(command("show", place, "--json").out)["name"] == "nations"
    assert command("show", place).out.startswith("# nations\n\nA link-prediction model for the graph nations: `roth`")
    kept = command("evaluate", model, "--task", "classification", "--json")
    given = command("evaluate", place, "--task", "classification", "--json")
    assert json.loads(given.out) == json.loads(kept.out) and given.err == RUNNING
    assert files == (sorted(place.iterdir()) if place.is_dir() else [])  # evaluate writes into run folders only


def test_without_triples(model: Path, command: Command, tmp_path: Path) -> None:
    place = tmp_path / "nations.zip"
    assert "contains the triples of nations (1,592 train, 199 valid, 201 test)" in command("pack", model, "--out",
        tmp_path / "whole.zip").out  # fmt: skip
    output = command("pack", model, "--without-triples", "--out", place)
    assert output.code == 0 and "graph prior" not in output.out.splitlines()[0]
    assert output.out.splitlines()[-1] == (
        "without the triples of nations (1,592 train, 199 valid, 201 test): no graph prior, no filter of known "
        "answers, and evaluation with --data only"
    )
    query = ["predict", place, "--head", "usa", "--relation", "embassy"]
    assert command(*query).code == 0
    for words, task in (([*query, "--exclude-known"], "--exclude-known"), (["evaluate", place], "evaluation")):
        refused = command(*words)
        assert refused.code == 2
        assert refused.err == (
            f"mulde: {place} was packed without the triples of nations, and {task} needs them; give the graph with "
            "--data\n"
        )
    report = command("evaluate", place, "--data", "nations", "--json")
    assert report.err == RUNNING and json.loads(report.out)["condition"] == "masked self-loops"
    figures = command("evaluate", place, "--data", "nations").out
    assert "\nnations (--data nations), test split" in figures and "MRR with masked self-loops\n" in figures


def test_probabilities_of_a_bundle_are_kept_or_it_is_said(model: Path, command: Command, tmp_path: Path) -> None:
    place, old = tmp_path / "nations.zip", tmp_path / "old"
    command("pack", model, "--out", place)
    packed = bundle.read(place)
    files = {name: packed.file(name) for name in packed.names if name != "calibration.json"}
    bundle.write(old, packed.manifest, files)  # of an earlier version
    query = ["--head", "usa", "--relation", "embassy", "--tail", "uk"]
    assert "\nprobability 0." in command("predict", place, *query).out
    output = command("evaluate", old, "--task", "classification")
    assert output.err == RUNNING + (
        "mulde: these probabilities are not kept, because a bundle is not changed; `mulde pack` of this bundle makes "
        "one with probabilities\n"
    )
    command("pack", old, "--out", tmp_path / "new.zip")
    assert command("predict", tmp_path / "new.zip", *query).out == command("predict", place, *query).out


def test_float16_halves_the_weights(model: Path, command: Command, tmp_path: Path) -> None:
    words = ["--json", "--licence", "mine", "--threads", "1"]
    whole = json.loads(command("pack", model, "--out", tmp_path / "whole", *words).out)
    half = json.loads(command("pack", model, "--out", tmp_path / "half", "--dtype", "float16", *words).out)
    assert half["bytes"] < whole["bytes"] and half["path"] == str(tmp_path / "half")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    assert half["data"]["licence"] == "mine" and half["data"]["citation"].startswith("Rummel")
    assert half["metrics_before"] == whole["metrics"]
    assert half["training"]["config"]["stage"] == "distil"


def test_the_default_name_and_pretrained_models(
    model: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    monkeypatch.chdir(tmp_path)
    output = command("predict", "--model", "umls-8", "--head", "virus", "--relation", "causes", "--top", "3")
    assert (output.code, output.err) == (0, "mulde: running on cpu, 1 thread\n")
    assert output.out.startswith("(virus, causes, ?)\nrank  answer")
    assert command("evaluate", "umls-8").code == 0
    listed = dict(line.split(maxsplit=1) for line in command("list", "models").out.splitlines())
    assert listed.keys() == {"fb15k-237-32", "fb15k-237-roth-32", "umls-8", "wn18rr-32"}
    assert listed["umls-8"].startswith("roth, 8 dimensions, float16, umls: test MRR 0.8613, 0.9636 with graph prior")
    assert "\numls-8.zip: 0.02" in command("pack", "umls-8").out
    assert [path.name for path in tmp_path.iterdir()] == ["umls-8.zip"]


def test_a_graph_whose_name_is_a_path_writes_nothing_outside(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = bundle.read(pretrained.paths()["umls-8"])
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    manifest = {**given.manifest, "data": {**given.manifest["data"], "name": "../x"}}
    bundle.write(inner / "bad.zip", manifest, {name: given.file(name) for name in given.names})
    output = command("pack", "bad.zip")
    assert output.code == 2
    assert "mulde: the graph is called '../x', which cannot be the name of a file or folder; say where" in output.err
    graph = given.graph()
    with pytest.raises(UsageError, match=r"the graph is called '\.\./\.\./x'"):
        mulde.run(dataclasses.replace(graph, name="../../x"), dim=4)
    with pytest.raises(UsageError, match="the graph is called '/x'"):
        mulde.tune("roth", dataclasses.replace(graph, name="/x"), dim=4)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "bad.zip"]
    assert "\nnamed.zip: 0.02" in command("pack", "bad.zip", "--out", "named.zip").out


def test_a_bundle_teaches(command: Command, tmp_path: Path) -> None:
    quick = [
        "--epochs",
        "1",
        "--eval-every",
        "1",
        "--negatives",
        "2",
        "--dim",
        "4",
        "--top-k",
        "5",
        "--teacher-query-fraction",
        "0.05",
    ]
    output = command("distil", "--data", "umls", *quick, "--teacher", "umls-8", "--out", tmp_path / "junior")
    assert output.code == 0, output.err
    assert "mulde: Junior roth, 4 dimensions, distilled from umls-8\n" in output.err
    assert "was trained on" not in output.err
