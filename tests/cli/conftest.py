"""One small finished `mulde run` that all tests of a session use, and the command as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mulde import cli

SMALL = ["--data", "nations", "--dim", "4", "--epochs", "2", "--eval-every", "1", "--negatives", "4", "--threads", "1"]
RUN = ["run", *SMALL, "--teacher", "roth", "--teacher", "diste", "--teacher-dim", "6", "--top-k", "5"]


@dataclass(frozen=True)
class Output:
    """Output and exit code of a command."""

    code: int
    out: str
    err: str


Command = Callable[..., Output]


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Set the umask in the block."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path_factory.getbasetemp() / "kge_data"))
    monkeypatch.delenv("KGE_DATA_HOME", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _estimates_are_rough() -> Iterator[None]:
    """The estimate before a training takes two steps and ranks ten triples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mulde.kge.training.estimate.STEPS", 1)
        patch.setattr("mulde.kge.training.estimate.SAMPLE", 10)
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `mulde` with words, in this process."""

    def run(*words: str | Path) -> Output:
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return Output(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished `mulde run` on nations: teachers roth and diste, a Junior, a baseline."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert cli.main([*RUN, "--out", str(folder)]) == 0
    yield folder


@pytest.fixture
def model(whole_run: Path) -> Iterator[Path]:
    """The folder of a trained model, without the calibration that the first prediction writes."""
    yield whole_run / "junior"
    (whole_run / "junior/calibration.json").unlink(missing_ok=True)


RUNNING = "mulde: running on cpu, 1 thread\n"
