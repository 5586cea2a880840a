"""Commands that are printed run nothing but themselves."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mulde.kge.export.bundle import Original, pack
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.rote import RotE
from mulde.kge.storage.run_folder import describe, save_model
from mulde.report.runs import Run
from mulde.report.verdict import verdict
from mulde.shell import command, is_command
from tests.kge import toys

EVIL = ["$(touch pwned)", "`touch pwned`", "; touch pwned #", "' ; touch pwned ; '", '"$(touch pwned)"', "a & b", "-x",
        "~", "two words", "*", "!!", "a\\", "é", ""]  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_a_shell_reads_back_what_was_given(name: str, tmp_path: Path) -> None:
    text = command("predict", name, head=name, relation="r")
    assert is_command(text, "predict") and not is_command(text, "run")
    told = subprocess.run(
        ["sh", "-c", f'mulde() {{ printf "%s\\n" "$@"; }}; {text}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    head = [f"--head={name}"] if name.startswith("-") else ["--head", name]
    assert told.stdout.splitlines() == ["predict", name, *head, "--relation", "r"]
    assert list(tmp_path.iterdir()) == []


def test_the_card_is_quoted(tmp_path: Path) -> None:
    graph = toys.toy_graph()
    for name in EVIL:
        if name:
            odd = replace(
                graph, entities=tuple(f"{name}{i}" for i in range(graph.num_entities)), relations=(name, "b", "c")
            )
            model = KGEModel(RotE, odd.num_entities, odd.num_relations, ModelConfig(dim=2)).eval()
            save_model(tmp_path / "run", model, odd, "toy")
            original = Original(tmp_path / "run", model, odd, describe(tmp_path / "run"))
            card = pack(original, "a b").files["README.md"].decode()
            lines = [line for line in card.splitlines() if line.startswith("mulde ")]
            assert len(lines) == 2 and all(is_command(line, "predict", "evaluate") for line in lines), lines
            assert shlex.split(lines[0])[2] == "a b.zip" and any(name in word for word in shlex.split(lines[0]))


def test_a_page_shows_no_command_of_a_stranger(tmp_path: Path) -> None:
    model = {"model": "Junior", "folder": "junior", "dim": 4, "bytes": 9, "valid_mrr": 0.5, "test_mrr": 0.5}
    for text, shown in {
        "mulde predict runs/a --head b --relation c": True,
        "mulde predict runs/a; touch pwned": False,
        "mulde predict $(touch pwned)": False,
        "mulde predict 'a' --head b": False,  # not quoted as ours
        "mulde predict 'a": False,
        "mulde train --scorer evil.py": False,
        "rm -rf runs": False,
    }.items():
        summary = {"verdict": {"best": model, "recommended": model, "small": model, "commands": {"predict": text}}}
        found = verdict(Run("run", tmp_path, [], {}, summary))
        assert found is not None and [each for _, each in found.commands] == [text] * shown
