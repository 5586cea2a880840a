from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kge_data import files
from kge_data.errors import UsageError
from kge_data.files.process_group import VARIABLES


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_holder_of_a_lock_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with files.locked(folder):
        with pytest.raises(UsageError) as caught, files.locked(folder):
            pass
        assert str(caught.value).startswith(f"{folder}: in use by process {os.getpid()} on ")
        with files.locked(tmp_path / "other"):
            pass
    with files.locked(folder):  # released, and the attempt above changed nothing
        assert _names(folder) == [".lock", ".lock.holder"]
        (folder / "result").touch()
    assert _names(folder) == [".lock", ".lock.holder", "result"]
    assert _names(tmp_path) == ["deep"]  # nothing was written into the other folder


def test_a_second_process_can_wait(tmp_path: Path) -> None:
    told: list[str] = []
    first, free = threading.Event(), threading.Event()

    def hold() -> None:
        with files.locked(tmp_path):
            first.set()
            free.wait(60)

    def tell(text: str) -> None:
        told.append(text)
        free.set()

    holder = threading.Thread(target=hold)
    holder.start()
    first.wait(60)
    with files.locked(tmp_path, tell):
        holder.join()
    assert len(told) == 1
    assert told[0].startswith(f"{tmp_path}: in use by process {os.getpid()} on ")
    assert told[0].endswith("; waiting until it has ended")


def test_who_waits_for_a_folder_that_is_moved_away_gets_a_new_one(tmp_path: Path) -> None:
    folder, first, told = tmp_path / "run", threading.Event(), threading.Event()

    def hold() -> None:
        with files.locked(folder):
            (folder / "old").touch()
            first.set()
            told.wait(60)
            folder.rename(tmp_path / "aside")

    holder = threading.Thread(target=hold)
    holder.start()
    first.wait(60)
    with files.locked(folder, lambda text: told.set()):
        holder.join()
        assert _names(folder) == [".lock", ".lock.holder"]
        with pytest.raises(UsageError, match="in use by process"), files.locked(folder):
            pass
    assert (tmp_path / "aside/old").exists()


@pytest.mark.parametrize(("rank", "holds"), [("0", True), ("1", False)])
def test_the_first_process_of_torchrun_holds_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, holds: bool
) -> None:
    for name, value in zip(VARIABLES, (rank, "2", rank, "2", "127.0.0.1", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    with files.locked(tmp_path):
        assert (tmp_path / files.HOLDER).exists() == holds


def _ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_leftovers_of_killed_processes_are_removed_under_the_lock(tmp_path: Path) -> None:
    gone, here, tail = _ended_process(), os.getpid(), "-0123456789abcdef.partial"
    folder, other = tmp_path / "run/fit", tmp_path / "run/teacher"
    for place in (folder, other):
        place.mkdir(parents=True)
        (place / f"weights.{gone}{tail}").touch()
    (other / files.LOCK).touch()  # another process may be at work there
    (folder / f"arrays.{gone}{tail}").mkdir()
    (folder / f"arrays.{gone}{tail}/ids").touch()
    kept = sorted([f"weights.{here}{tail}", "mine.partial", f"weights.{gone}{tail}.old", f"notes.{gone}.partial"])
    for name in kept:
        (folder / name).touch()
    with files.locked(tmp_path / "run"):
        assert _names(folder) == kept
    assert _names(other) == [files.LOCK, f"weights.{gone}{tail}"]


def test_a_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.locked(tmp_path):
        _ = 1 / 0
    with files.locked(tmp_path):
        pass


HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom kge_data.files import *\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


def test_a_lock_holds_between_processes_until_the_process_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            with (
                pytest.raises(UsageError, match=f"in use by process {process.pid} on .* since 20"),
                files.locked(tmp_path),
            ):
                pass
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    with files.locked(tmp_path):
        pass


def test_a_holder_that_is_not_known_yet(tmp_path: Path) -> None:
    with files.locked(tmp_path):
        (tmp_path / files.HOLDER).unlink()
        with (
            pytest.raises(UsageError, match="in use by another process; wait until it has ended"),
            files.locked(tmp_path),
        ):
            pass
