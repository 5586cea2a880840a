"""`mulde list`: what there is, as lines or as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mulde import catalogue, cli
from mulde.cli import ablate
from mulde.kge.training.method_file import names


@pytest.mark.parametrize("kind", ["scorers", "methods", "data", "models"])
def test_one_line_each(kind: catalogue.Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines] == catalogue.names(kind)


def test_a_verb_takes_every_listed_method() -> None:
    assert {name for name, _ in catalogue.names("methods")} == {*names(), *ablate._with_a_case(), "supervised"}


@pytest.mark.parametrize("words", [["scorers", "--json"], ["--json", "scorers"]])
def test_json(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", *words]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["summary"]) for entry in entries] == catalogue.names("scorers")


@pytest.mark.parametrize("words", [["list"], ["list", "teachers"], ["list", "scorers", "--jsn"]])
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "mulde list" in said.err


def test_help_is_plain_text() -> None:
    command = [sys.executable, "-m", "mulde", "list", "--help"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=environment)
    assert "scorers, methods, data or models" in run.stdout
    assert run.stdout.isascii()
