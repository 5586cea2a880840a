"""`mulde list`: names with their summaries, as lines or as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mulde import catalogue, cli
from mulde.engine import Record
from mulde.files import read_json, write_json
from mulde.kge.training.listing import runs


@pytest.mark.parametrize("kind", ["scorers", "data", "models"])
def test_one_line_each(kind: catalogue.Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines] == catalogue.names(kind)


def test_methods_are_those_that_a_verb_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "methods"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines.keys() == catalogue.entries("methods").keys()
    assert {name for name, line in lines.items() if line.split()[1] == "stream"} == {"jitnet"}
    assert {line.split()[1] for line in lines.values()} == {"distil", "stream"}


@pytest.mark.parametrize("words", [["scorers", "--json"], ["--json", "scorers"]])
def test_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", *words]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["summary"]) for entry in entries] == catalogue.names("scorers")


def test_json_of_methods_names_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "methods", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert {entry["name"]: entry["verb"] for entry in entries} == catalogue.verbs_of_methods()
    assert {(catalogue.ROOT / entry["file"]).stem for entry in entries} == catalogue.entries("methods").keys()
    assert {entry["name"]: entry["field"] for entry in entries} == catalogue.fields_of_methods()


def test_methods_of_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "methods", "--field", "few-shots"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["fs_ban", "rfs"] and "distil  few shots  RFS: " in lines[1]
    assert cli.main(["list", "methods", "--field", "cooking"]) == 2
    assert "--field: should be one of knowledge graphs, " in capsys.readouterr().err
    assert cli.main(["list", "data", "--field", "detection"]) == 2
    assert "mulde list data: only methods have a field; leave out --field" in capsys.readouterr().err


def test_one_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "methods", "CoLAD"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name: colad" and lines[1].startswith("summary: CoLAD")
    assert lines[2:4] == ["file: mulde/vision/methods/colad.py", "verb: distil"]
    assert lines[4:] == ["field: detection", "page: docs/methods/lad.md"]
    assert cli.main(["list", "methods", "colat"]) == 2
    assert cli.main(["list", "rote"]) == 2
    err = capsys.readouterr().err
    assert 'no method called "colat"; nearest: colad' in err
    assert '"rote" is one of the scorers; write `mulde list scorers rote`' in err


@pytest.mark.parametrize("words", [["list"], ["list", "teachers"], ["list", "scorers", "--jsn"]])
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "mulde list" in printed.err


def test_help_is_plain_text() -> None:
    command = [sys.executable, "-m", "mulde", "list", "--help"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=environment)
    assert "scorers, methods, data, models" in run.stdout
    assert run.stdout.isascii()


def test_runs(whole_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("better", "cut"):
        shutil.copytree(whole_run, tmp_path / "runs" / name)
    record = tmp_path / "runs/better/junior/fit/record.json"
    write_json(record, {**read_json(record), "best_metrics": {"valid/mrr": 0.99}})
    for path in ("summary.json", "junior/fit/record.json", "junior/test.json", "junior/model.safetensors"):
        (tmp_path / "runs/cut" / path).unlink()
    shutil.copytree(whole_run / "baseline", tmp_path / "runs/single")
    assert cli.main(["list", "runs", str(tmp_path / "runs"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(row["folder"]).name for row in found] == ["better", "cut", "single"]
    assert [row["finished"] for row in found] == [True, False, False]
    summary = json.loads((whole_run / "summary.json").read_text())
    assert found[0]["graph"] == "nations" and found[0]["dim"] == found[1]["dim"] == 4
    assert [row["kind"] for row in found] == ["distilled", "baseline", "trained"]
    assert found[0]["test_mrr"] == summary["rows"][-1]["MRR"]
    assert found[0]["gain"] == summary["verdict"]["gain"]["test_mrr"]
    assert found[0]["bytes"] == (whole_run / "junior/model.safetensors").stat().st_size
    assert cli.main(["list", "runs", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["graph", "model", "kind", "dim", "kB"] and len(lines) == 6
    assert "unfinished" in lines[-2] and lines[-2].endswith("cut")


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "runs", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path / 'none'}; `mulde run` makes one\n"


def test_a_run_shows_its_better_small_model(tmp_path: Path) -> None:
    for stage, kind, mrr in (("junior", "distil", 0.7), ("baseline", "train", 0.8)):
        fit = tmp_path / "run" / stage / "fit"
        fit.mkdir(parents=True)
        settings = {"scorer": "roth", "stage": kind, "dim": 8, "data": {"name": "nations"}}
        (fit / "config.json").write_text(json.dumps({"config": settings}))
        write_json(fit / "record.json", Record("fit", stopped_by="epochs", best_metrics={"valid/mrr": mrr}).as_dict())
    (row,) = runs(tmp_path)
    assert (row["kind"], row["valid_mrr"]) == ("baseline", 0.8)
