"""One writer for each folder of results: the second one is refused, or waits. Permissions of what is written."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

import mulde
from mulde import cli
from mulde.cli import _stage
from mulde.errors import UsageError
from mulde.files import locked
from mulde.kge.training import stage
from tests.cli.conftest import RUN, SMALL, Command, umask


def test_the_same_command_twice_at_once(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused while the first trains; the first is not disturbed, and its files follow the umask."""
    words = ["train", "diste", *SMALL, "--out", str(tmp_path / "run")]
    train, second = stage.train, []

    def with_second(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(stage, "train", train)
        second.append(cli.main(words))
        return train(*arguments, **options)

    monkeypatch.setattr(stage, "train", with_second)
    with umask(0o022):
        output = command(*words)
    assert (output.code, second) == (0, [2])
    assert f"mulde: {tmp_path / 'run'}: in use by process {os.getpid()} on " in output.err
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/fit/log.jsonl").read_text().splitlines()]
    assert len(steps) == len(set(steps)) > 0
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize(
    "words",
    [
        ["train", "diste", *SMALL],
        ["distil", *SMALL, "--teacher", "umls-8", "--data", "umls", "--restart"],
        ["run", *SMALL, "--restart"],
        ["ablate", "kd", "--fraction", "0.01"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_in_use_is_refused(words: list[str], tmp_path: Path, command: Command) -> None:
    (tmp_path / "run/fit").mkdir(parents=True)
    with locked(tmp_path / "run"):
        output = command(*words, "--out", tmp_path / "run")
    assert output.code == 2
    assert f"mulde: {tmp_path / 'run'}: in use by process {os.getpid()} on " in output.err
    assert "; wait until it has ended (--wait, where the command has it), or name another folder\n" in output.err
    assert [path.name for path in (tmp_path / "run/fit").iterdir()] == []


def test_teachers_have_locks_of_their_own(whole_run: Path, tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    teacher = next((run / "teachers").glob("diste-*"))
    with locked(teacher):
        output = command(*RUN, "--out", run)
    assert output.code == 2 and f"mulde: {teacher}: in use by process" in output.err
    with locked(run / "junior"):
        assert f"mulde: {run / 'junior'}: in use by process" in command(*RUN, "--out", run).err


def test_wait(whole_run: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    run, first, told = tmp_path / "run", threading.Event(), threading.Event()
    shutil.copytree(whole_run, run)

    def hold() -> None:
        with locked(run):
            first.set()
            told.wait(60)

    def tell(progress: Any) -> None:
        if progress.stage == "wait":
            told.set()
        printed(progress)

    printed = _stage.print_progress
    monkeypatch.setattr("mulde.cli.run.print_progress", tell)
    holder = threading.Thread(target=hold)
    holder.start()
    first.wait(60)
    output = command(*RUN, "--out", run, "--wait")
    holder.join()
    assert output.code == 0
    assert f"mulde: {run}: in use by process {os.getpid()} on " in output.err
    assert "; waiting until it has ended\n" in output.err


def test_in_python(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(UsageError, match="run: in use by process"):
            mulde.train("diste", "nations", folder=tmp_path / "run", dim=4)
        with pytest.raises(UsageError, match="run: in use by process"):
            mulde.distil("diste", "umls-8", "umls", folder=tmp_path / "run", dim=4)
