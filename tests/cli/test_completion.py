"""Completion scripts of shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mulde import cli
from tests.cli.conftest import Command


def test_without_shtab(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    output = command("--completion", "bash")
    assert (output.code, output.out) == (2, "")
    assert "pip install mulde[completion]" in output.err


def test_bash_completes_verbs_options_and_values(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    script = tmp_path / "mulde.bash"
    script.write_text(command("--completion", "bash").out)

    def completed(*words: str) -> set[str]:
        line = f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_mulde 2>/dev/null"
        run = subprocess.run(["bash", "-c", f'{line}; echo "${{COMPREPLY[@]}}"'], capture_output=True, text=True)
        return set(run.stdout.split())

    assert completed("mulde", '""') >= cli.verbs().keys()
    assert completed("mulde", "run", "--optim") == {"--optimizer"}
    assert completed("mulde", "run", "--no-base") == {"--no-baseline"}
    assert completed("mulde", "train", "--optimizer", "ada") == {"adam", "adagrad"}
    assert command("--completion", "csh2").code == 2
