"""All commands that write (tests/contracts/verbs.py): errors of the disk, Ctrl-C, two at once, names that are taken.

Whatever happens, older files stay as they are, no temporary file is left, and a result is whole or absent, or is continued
by the same command.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mulde import cli
from mulde.kge.export import onnx
from tests.cli.conftest import Command, Output
from tests.contracts.steps import at_each_step
from tests.contracts.verbs import READERS, WRITERS, Writer, contents, is_part, leftovers, make_inputs

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


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Set the umask in the block."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs of all commands."""
    folder = tmp_path_factory.mktemp("verbs") / "inputs"
    folder.mkdir()
    with chdir(folder):
        make_inputs(folder)
    return folder


@pytest.fixture(scope="session")
def done(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """Name of a command -> what it does when nothing disturbs it."""

    @functools.cache
    def undisturbed(name: str) -> Done:
        folder, steps = tmp_path_factory.mktemp("done") / "work", list[str]()
        shutil.copytree(inputs, folder)
        old = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        with chdir(folder), umask(0o027), at_each_step(steps.append):
            assert cli.main(WRITERS[name].words) == 0
        new = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mtime_ns != old.get(path)]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in new if path.name != ".lock"}
        return Done(steps, contents(folder), modes)

    return undisturbed


@pytest.fixture
def work(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, a copy of the inputs."""
    shutil.copytree(inputs, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="module", autouse=True)
def _onnx_models_are_made_once() -> Iterator[None]:
    """All are of the same model, and each takes a second."""
    make, made = onnx.to_onnx, dict[bool, bytes]()

    def kept(model: Any, int8: bool = False) -> bytes:
        if int8 not in made:
            made[int8] = make(model, int8)
        return made[int8]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "to_onnx", kept)
        yield


def check_unharmed(writer: Writer, work: Path, before: dict[str, Any], done: Done) -> None:
    """Older files are as before, no temporary file is left, and a result that appears at the end is whole or absent."""
    after = contents(work)
    assert not leftovers(work)
    for name, content in before.items():
        assert after[name] == content or (name == writer.result and after[name] == done.files[name]), name
    if writer.kind in ("file", "folder"):
        assert result_of(writer, after) in ({}, result_of(writer, done.files))


def check_repeated(writer: Writer, work: Path, output: Output, done: Done) -> None:
    """The command has made the whole result, or refused to because it is whole."""
    if output.code:
        assert (output.code, writer.kind) in ((2, "file"), (2, "folder")), output.err
        assert output.err == f"mulde: {writer.result}: exists already; choose another name, or remove it\n"
    assert contents(work) == done.files


def result_of(writer: Writer, files: dict[str, Any]) -> dict[str, Any]:
    """The files of a result."""
    return {name: content for name, content in files.items() if is_part(name, writer.result)}


def moments(steps: list[str]) -> list[str]:
    """The first, a middle and the last step."""
    return list(dict.fromkeys([steps[0], steps[len(steps) // 2], steps[-1]]))


def test_every_verb_is_listed() -> None:
    assert {writer.words[0] for writer in WRITERS.values()} | set(READERS) == set(cli.verbs())


@pytest.mark.parametrize("name", WRITERS)
def test_an_error_of_the_disk(name: str, work: Path, command: Command, done: Callable[[str], Done]) -> None:
    """At the first, a middle and the last step, one after another: a sentence; then the same command works."""
    writer, before = WRITERS[name], contents(work)
    for number, moment in enumerate(moments(done(name).steps)):
        code, sentence = list(ERRORS.items())[(number + len(name)) % len(ERRORS)]
        failed = []

        def fail(step: str, moment: str = moment, code: int = code, failed: list[str] = failed) -> None:
            if step == moment:
                failed.append(step)
                raise OSError(code, os.strerror(code))

        with at_each_step(fail):
            output = command(*writer.words)
        assert failed and "Traceback" not in output.err, output.err
        if writer.kind == "kept":  # what is printed does not depend on the file
            assert output.code == 0 and output.out
        else:
            assert output.code == 1 and output.err.endswith(f": {sentence}\n"), output.err
        check_unharmed(writer, work, before, done(name))
    check_repeated(writer, work, command(*writer.words), done(name))


@pytest.mark.parametrize("name", WRITERS)
def test_ctrl_c(name: str, work: Path, command: Command, done: Callable[[str], Done]) -> None:
    """At the first, a middle and the last step, one after another; then the same command works."""
    writer, before = WRITERS[name], contents(work)
    for moment in moments(done(name).steps):

        def press(step: str, moment: str = moment) -> None:
            if step == moment:
                raise KeyboardInterrupt

        with at_each_step(press):
            output = command(*writer.words)
        assert output.code == 130
        assert output.err.endswith("mulde: stopped; the same command continues from the last checkpoint\n"), output.err
        check_unharmed(writer, work, before, done(name))
    check_repeated(writer, work, command(*writer.words), done(name))


@pytest.mark.parametrize("name", WRITERS)
def test_two_at_once(name: str, work: Path, command: Command, done: Callable[[str], Done]) -> None:
    """The second starts at the first step of the first. One is refused, or both make the whole result."""
    writer, codes = WRITERS[name], list[int]()

    def start_second(_: str) -> None:
        if not codes:
            codes.append(-1)
            codes[0] = cli.main(writer.words)

    with at_each_step(start_second):
        output = command(*writer.words)
    codes.append(output.code)
    assert sorted(codes) in ([0, 0], [0, 2]) and "Traceback" not in output.err, output.err
    if 2 in codes:
        refusals = ("in use by process", "exists already; another process was first", "exists already; choose")
        assert sum(output.err.count(refusal) for refusal in refusals) == 1, output.err
    assert contents(work) == done(name).files and not leftovers(work)


@pytest.mark.parametrize("name", WRITERS)
def test_names_that_are_taken(name: str, work: Path, command: Command) -> None:
    """A file or folder of the user's with the name of the result, or one beside it, stays as it is."""
    writer = WRITERS[name]
    result, places = work / writer.result, []
    for ending in (".partial", ".parts"):
        places.append(result.with_name(result.name + ending))
    if not result.exists():
        places.insert(0, result)
    for place in places:
        for make in (place.mkdir, place.touch):
            make()
            mine = place / "mine" if place.is_dir() else place
            mine.write_text("mine")
            output = command(*writer.words)
            assert output.code in (0, 2) and "Traceback" not in output.err, output.err
            assert mine.read_text() == "mine" and (output.code == 0 or output.err.count(str(place)) == 1), output.err
            shutil.rmtree(place) if place.is_dir() else place.unlink()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("name", WRITERS)
def test_permissions_follow_the_umask(name: str, done: Callable[[str], Done]) -> None:
    modes = done(name).modes
    assert modes and modes == dict.fromkeys(modes, 0o640)
