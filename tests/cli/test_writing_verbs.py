"""All commands that write (tests/contracts/verbs.py): errors of the disk, Ctrl-C, two at once, names that are taken.

Whatever happens, older files stay as they are, no temporary file is left, and a result is whole or absent, or the same
command continues it.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mulde import cli
from mulde.kge.training import record_file
from tests.cli.conftest import Command, Output, umask
from tests.contracts.steps import at_each_step
from tests.contracts.verbs import (
    READERS,
    WRITERS,
    Writer,
    contents,
    leftovers,
    make_inputs,
    result_of,
)

ERRORS = {
    errno.ENOSPC: "no space left on the device; free some space, and the same command continues",
    errno.EDQUOT: "disk quota exceeded; free some space of your quota, and the same command continues",
    errno.EFBIG: "larger than the limit for files; raise it (`ulimit -f`), and the same command continues",
    errno.EROFS: "the file system is read-only; make it writable, or name another path",
    errno.EIO: "input or output error of the disk; check the disk, and the same command continues",
}


@dataclass(frozen=True)
class Done:
    """What a command does when nothing disturbs it."""

    steps: list[str]
    """Its steps, as `at_each_step` names them."""
    files: dict[str, Any]
    """All files afterwards, as `contents` gives them."""
    modes: dict[str, int]
    """Permissions of the files that it has made with the umask 027."""


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs of all commands."""
    folder = tmp_path_factory.mktemp("verbs") / "inputs"
    folder.mkdir()
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGE_DATA_CACHE", str(tmp_path_factory.getbasetemp() / "kge_data"))  # as in the tests
        make_inputs(folder)
    return folder


@pytest.fixture(scope="session")
def done(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """Name of a command -> what it does when nothing disturbs it."""

    @functools.cache
    def undisturbed(name: str) -> Done:
        folder, steps = tmp_path_factory.mktemp("done") / "work", list[str]()
        shutil.copytree(inputs, folder)
        old = set(folder.rglob("*"))
        with chdir(folder), umask(0o027), at_each_step(steps.append):
            assert cli.main(WRITERS[name].words) == 0
        new = [path for path in folder.rglob("*") if path.is_file() and path not in old]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in new if path.name != ".lock"}
        return Done(steps, contents(folder), modes)

    return undisturbed


@pytest.fixture
def work(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, a copy of the inputs."""
    shutil.copytree(inputs, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def check_unharmed(writer: Writer, work: Path, before: dict[str, Any], done: Done) -> None:
    """Older files are as before, no temporary file is left, and a result that appears at the end is whole or absent."""
    after = contents(work)
    assert not leftovers(work)
    for name, content in before.items():
        assert after[name] == content or (name == writer.result and after[name] == done.files[name]), name
    if writer.kind in ("file", "folder"):
        assert result_of(writer.result, after) in ({}, result_of(writer.result, done.files))


def check_repeated(writer: Writer, work: Path, output: Output, done: Done) -> None:
    """The command has made the whole result, or refused to because it is whole."""
    if output.code:
        assert (output.code, writer.kind) in ((2, "file"), (2, "folder")), output.err
        assert output.err.splitlines()[-1].startswith(
            (f"mulde: {writer.result}: exists", f"mulde: {writer.result} exists")
        )
    assert contents(work) == done.files


def disturbed(
    name: str, inputs: Path, tmp_path: Path, done: Done, command: Command, errors: Sequence[BaseException]
) -> Iterator[tuple[BaseException, Output]]:
    """Run a command with an error at its first step, then at a middle one, then without; and anew with one at the last.

    The files are checked after every error, and the result in the end.

    Parameters
    ----------
    errors
        Those of the first, the middle and the last step.

    Yields
    ------
    tuple
        Each error, and the output of the command.
    """
    writer, coming = WRITERS[name], iter(errors)
    for chain in ((0, len(done.steps) // 2), (len(done.steps) - 1,)):
        work = tmp_path / f"work-{chain[0]}"
        shutil.copytree(inputs, work)
        with chdir(work):
            before = contents(work)
            for number in chain:
                steps, error = itertools.count(), next(coming)

                def fail(_: str, steps: Iterator[int] = steps, number: int = number, error: Any = error) -> None:
                    if next(steps) == number:
                        raise error

                with at_each_step(fail):
                    output = command(*writer.words)
                assert next(steps) > number
                yield error, output
                check_unharmed(writer, work, before, done)
            check_repeated(writer, work, command(*writer.words), done)


def test_every_verb_is_listed() -> None:
    assert {writer.words[0] for writer in WRITERS.values()} | set(READERS) == set(cli.verbs())


@pytest.mark.parametrize("name", WRITERS)
def test_an_error_of_the_disk_and_ctrl_c(
    name: str, inputs: Path, tmp_path: Path, done: Callable[[str], Done], command: Command
) -> None:
    """Either is one sentence. Of two commands in a row, one begins with the error and one with Ctrl-C."""
    place = list(WRITERS).index(name)
    codes = [list(ERRORS)[(place + moment) % len(ERRORS)] for moment in range(2)]
    of_disk = [OSError(code, os.strerror(code)) for code in codes]
    errors: tuple[BaseException, ...] = (of_disk[0], KeyboardInterrupt(), of_disk[1])
    if place % 2:
        errors = (KeyboardInterrupt(), of_disk[0], KeyboardInterrupt())
    for error, output in disturbed(name, inputs, tmp_path, done(name), command, errors):
        assert "Traceback" not in output.err, output.err
        if not isinstance(error, OSError):
            assert output.code == 130
            assert output.err.endswith("mulde: stopped; the same command continues from the last checkpoint\n")
        elif WRITERS[name].kind == "kept":  # what is printed does not depend on the file
            assert output.code == 0 and output.out
        else:
            assert output.code == 1 and output.err.endswith(f": {ERRORS[error.args[0]]}\n"), output.err


@pytest.mark.parametrize(("name", "moment"), list(zip(WRITERS, itertools.cycle((0, -1)), strict=False)))
def test_two_at_once(
    name: str,
    moment: int,
    work: Path,
    command: Command,
    capsys: pytest.CaptureFixture[str],
    done: Callable[[str], Done],
) -> None:
    """The second starts at the first or last step. One is refused, unless the result is replaced or kept beside it."""
    writer, steps, second = WRITERS[name], itertools.count(), list[Output]()
    moment = range(len(done(name).steps))[moment]

    def start_second(_: str) -> None:
        if next(steps) == moment:
            capsys.readouterr()
            second.append(command(*writer.words))

    with at_each_step(start_second):
        outputs = [command(*writer.words), *second]
    codes = sorted(output.code for output in outputs)
    assert codes == [0, 2] or (codes == [0, 0] and writer.kind in ("old", "kept"))
    for output in outputs:
        assert "Traceback" not in output.err, output.err
        if output.code:
            assert re.search(r"in use by|exists", output.err)
    assert contents(work) == done(name).files and not leftovers(work)


def test_two_add_to_one_file_of_records(work: Path, command: Command) -> None:
    words, second = WRITERS["train with a record"].words, list[Output]()

    def start_second(step: str) -> None:
        if step == "file records.jsonl" and not second:
            second.append(Output(2, "", ""))
            second[0] = command(*words, "--out", "other")

    with at_each_step(start_second):
        assert command(*words).code == 0
    assert second[0].code == 0
    runs = [record["run"] for record in record_file.read(work / "records.jsonl")]
    assert sorted(runs) == ["before", "other", "out"]


@pytest.mark.parametrize("name", WRITERS)
def test_names_that_are_taken(name: str, work: Path, command: Command) -> None:
    """A file or folder of the user's with the name of the result, or with one beside it, stays as it is."""
    writer, given = WRITERS[name], contents(work)
    result = work / writer.result
    beside = [result.with_name(result.name + ending) for ending in (".partial", ".parts")]
    for place, makers in ((result, (Path.mkdir, Path.touch)), *((place, (Path.mkdir,)) for place in beside)):
        for make in makers:
            if place.exists():  # it is replaced
                continue
            make(place)
            mine = place / "mine" if place.is_dir() else place
            mine.write_text("mine")
            output = command(*writer.words)
            assert output.code in (0, 2) and "Traceback" not in output.err, output.err
            assert mine.read_text() == "mine"
            if output.code:
                assert output.err.splitlines()[-1].startswith(f"mulde: {place.relative_to(work)}"), output.err
            for path in {place, result} & set(work.rglob("*")) - set(map(work.joinpath, given)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("name", WRITERS)
def test_permissions_follow_the_umask(name: str, done: Callable[[str], Done]) -> None:
    modes = done(name).modes
    assert (modes or WRITERS[name].kind == "old") and modes == dict.fromkeys(modes, 0o640)
