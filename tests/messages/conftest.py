"""The model that messages are about, and the last message of a command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mulde import catalogue, cli
from mulde.files import read_json, write_json

SMALL = ["--data", "nations", "--dim", "4", "--epochs", "1", "--eval-every", "1", "--negatives", "2", "--threads", "1"]
Failure = Callable[..., tuple[int, str]]
LISTED = "all are listed by `mulde list scorers`"
ALL_SCORERS = ", ".join(name for name, _ in catalogue.names("scorers"))


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path_factory.getbasetemp() / "kge_data"))
    monkeypatch.delenv("KGE_DATA_HOME", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "roth"
    assert cli.main(["train", "roth", *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a copy of the trained model in "model"."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "model")
    yield tmp_path


@pytest.fixture
def failure(capsys: pytest.CaptureFixture[str]) -> Failure:
    """The exit code of a command line and the last message on stderr; stdout stays empty."""

    def run(line: str) -> tuple[int, str]:
        code = cli.main(line.split())
        captured = capsys.readouterr()
        assert captured.out == ""
        sentence = captured.err.rpartition("\nmulde: ")[2].removeprefix("mulde: ").removesuffix("\n")
        return code, sentence

    return run


def change(path: Path, **values: object) -> None:
    write_json(path, {**read_json(path), **values})
