"""A finished run that another user may only read, an unreadable file, no home and no working directory."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kge_data import cache, load
from kge_data.errors import DataError
from kge_data.files import user_path
from mulde.engine import load_weights
from tests.cli.conftest import RUN, SMALL, Command
from tests.cli.test_writing_verbs import contents

READING = {
    "show": ["show", "RUN"],
    "list": ["list", "runs"],
    "predict": ["predict", "RUN", "--head", "usa", "--relation", "embassy", "--threads", "1"],
    "evaluate": ["evaluate", "RUN", "--split", "valid", "--threads", "1"],
    "classification": ["evaluate", "RUN", "--task", "classification", "--threads", "1"],
    "explain": ["explain", "RUN", "--head", "usa", "--relation", "embassy", "--tail", "uk", "--rule-seconds", "0"],
    "discover": ["discover", "RUN", "--top", "2", "--threads", "1"],
    "report": ["report", "RUN", "--out", "report.html"],
    "pack": ["pack", "RUN", "--out", "packed.zip"],
    "export": ["export", "RUN", "--to", "tsv", "--out", "tables"],
    "run again": [*RUN, "--out", "RUN"],
    "distil": ["distil", *SMALL, "--teacher", "RUN", "--out", "mine"],
}
"""Commands that read the run folder RUN and write elsewhere, if at all."""
WRITING = {
    "train": ["train", "diste", *SMALL, "--out", "RUN/new"],
    "another run": [*RUN, "--seed", "1", "--out", "RUN"],
    "restart": [*RUN, "--restart", "--out", "RUN"],
}


@pytest.fixture
def run(whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The whole run in a folder where nothing can be made or replaced; also for root, whom permissions do not hold."""
    theirs = tmp_path / "runs"
    shutil.copytree(whole_run, theirs / "whole")
    for path in [*theirs.rglob(".lock*"), *theirs.rglob("calibration.json"), *theirs.rglob("valid.json")]:
        path.unlink()
    access = os.access

    def refusing(usual: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.is_relative_to(theirs) and not path.is_dir():
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return usual(path, *arguments, **options)

        return refuse

    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(theirs) and access(path, mode))
    for name in ("touch", "mkdir", "rename", "replace", "unlink"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return theirs / "whole"


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_verbs_that_read(words: list[str], run: Path, command: Command) -> None:
    before = contents(run)
    output = command(*(str(run) if word == "RUN" else word for word in words))
    assert output.code == 0, output.err
    assert contents(run) == before


@pytest.mark.parametrize("words", WRITING.values(), ids=WRITING)
def test_verbs_that_write(words: list[str], run: Path, command: Command) -> None:
    output = command(*(word.replace("RUN", str(run)) for word in words))
    assert output.code == 2
    assert output.err.endswith(": no permission to write there; change the permissions, or name another path\n")


def test_weights_that_cannot_be_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safetensors would call the file missing."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match=r"final\.safetensors"):
        load_weights(model / "fit/final.safetensors")


def test_no_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user that has no entry: graphs are read, without a cache."""

    def unknown(*_: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(Path, "expanduser", unknown)
    monkeypatch.delenv("KGE_DATA_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache, "MIN_BYTES", 0)
    for split, triple in zip(("train", "valid", "test"), ("a\tr\tb\n", "b\tr\ta\n", "a\tr\ta\n"), strict=True):
        (tmp_path / f"{split}.tsv").write_text(triple)
    assert load(tmp_path).num_entities == 2
    assert user_path("~/graph") == Path("~/graph")
    with pytest.raises(DataError, match="there is no home directory to keep graphs in; set KGE_DATA_CACHE to a folder"):
        load("codex-s")


def test_no_working_directory(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(Path, "cwd", gone)
    assert command("list", "data").code == 2
    assert command("list", "data").err == "mulde: the working directory no longer exists; change to another one\n"
