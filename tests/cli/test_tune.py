"""`mulde tune`: a search of a training and of a distillation, and the command that follows."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from mulde.cli import tune
from mulde.config import read
from tests.cli.conftest import Command

TINY = ["--data", "nations", "--dim", "2", "--epochs", "1", "--batch-size", "2000", "--negatives", "2", "--trials", "2"]


def test_a_search_and_the_command_that_follows(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = command("tune", "DistE", *TINY)
    assert found.code == 0
    lines = found.out.splitlines()
    assert lines[0].startswith("nations: diste, 2 dimensions: 2 trials, ")
    assert lines[1] == "validation MRR, embeddings only, filtered by train and valid"
    assert any(line.startswith("1 (preset) ") for line in lines)
    assert lines[-1] == "next: mulde train --config runs/nations/tune-diste-2/settings.yaml"
    (first,) = [line for line in found.err.splitlines() if line.startswith("mulde: trial 1 of 2: ")]
    assert first.startswith("mulde: trial 1 of 2: MRR 0.") and first.endswith(" (lr 0.02)")
    assert found.err.splitlines()[-1] == "mulde: picture: runs/nations/tune-diste-2/tune.svg"
    followed = command(*shlex.split(lines[-1])[2:])
    assert followed.code == 0 and followed.out.endswith("run folder: runs/nations/tune-diste-2/best\n")
    again = command("tune", "diste", *TINY)
    assert again.out == found.out and len(again.err.splitlines()) == 3
    assert command("tune", "diste", *TINY, "--seed", "1").err.splitlines()[2:] == [
        "mulde: runs/nations/tune-diste-2 holds a search with other settings; give another --out, or the old settings:",
        "  seed: was 0, is 1",
    ]


def test_a_search_of_a_distillation(command: Command, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "my search"
    words = ["tune", "diste", *TINY, "--teacher", model, "--lr", "0.1", "--top-k", "5", "--temperature", "1"]
    found = command(*words, "--search", "lr=0.05:0.2", "--search", "attention=true,false", "--out", out, "--json")
    assert found.code == 0
    result = json.loads(found.out)
    assert result["space"] == {"soft_weight": "0.05:5:log", "lr": "0.05:0.2", "attention": "True,False"}
    assert result["preset"]["settings"] == {"soft_weight": 0.5, "lr": 0.1, "attention": True}
    assert result["next"] == f"mulde distil --config '{out}/settings.yaml'"
    settings = read(out / "settings.yaml")
    assert (settings["junior"], settings["teacher"], settings["method"]) == ("diste", [str(model)], "mulde")
    assert settings["mask_self_loops"] and settings["graph_prior"]
    assert command(*shlex.split(result["next"])[1:]).code == 0
    assert (out / "best/model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rothh"], 'no scorer called "rothh"'),
        (["diste", "--method", "mulde"], "expected at least one teacher; got none; pass --teacher RUN"),
        (["diste", "--method", "offline", "--junior", "rote"], "the scorer is diste and --junior rote"),
        (["diste", "--trials", "0"], "--trials: should be a whole number of at least 1, got 0"),
        (["diste", "--search", "lr"], "--search should be NAME=LOW:HIGH"),
        (["diste", "--search", "lr=a:b"], "--search lr: should be a number above 0 or empty, got 'a'"),
        (["diste", "--save-record", "x"], "--save-record"),
    ],
)
def test_impossible_options_are_sentences(command: Command, tmp_path: Path, words: list[str], sentence: str) -> None:
    found = command("tune", *words, "--data", "nations", "--out", tmp_path / "out")
    assert found.code == 2 and sentence in found.err and not (tmp_path / "out").exists()


def test_without_optuna(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    found = command("tune", "diste", *TINY, "--out", tmp_path)
    assert found.code == 2 and "tune searches with Optuna; install it with `pip install mulde[tune]`" in found.err


def test_a_settings_file_fixes_its_options(tmp_path: Path) -> None:
    from mulde.config.command_line import parse_given

    file = tmp_path / "settings.yaml"
    file.write_text("lr: 0.01\n")
    words = ["roth", "--config", str(file), "--batch-size", "7"]
    settings, given = parse_given(tune.Config, words, "mulde tune", "", tune._defaults, tune.FIRST, tune.compose)
    assert given == {"scorer", "lr", "batch_size"}
    assert settings.training.lr == 0.01 and settings.options.training.batch_size == 7  # type: ignore[attr-defined]
