"""Commands that write, killed (SIGKILL) at random moments and completed, and twice at once; prints counts as JSON.

    python -m tests.fuzz.killed KIND SECONDS FOLDER

KIND is a kind of the commands in tests/contracts/verbs.py, each of which takes at least one turn. They are forks of
this process, so that each starts within milliseconds.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulde import cli
from tests.contracts.verbs import WRITERS, Writer, contents, leftovers, make_inputs, result_of, without_leftovers

ENOUGH = 6  # kills in a row


@dataclass(frozen=True)
class Undisturbed:
    """What a command does when nothing disturbs it."""

    files: dict[str, Any]
    """All files afterwards."""
    seconds: float
    """Its time."""


def main() -> None:
    kind, seconds, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]).absolute()
    (folder / "inputs").mkdir()
    assert ended(start(folder / "inputs", lambda: make_inputs(Path())), folder / "inputs") == 0
    before, found = contents(folder / "inputs"), {}
    writers = {name: writer for name, writer in WRITERS.items() if writer.kind == kind}
    for name, writer in writers.items():
        import_what_it_imports(writer, new(folder, "first"))
        work, begun = new(folder, "whole"), time.monotonic()
        assert run(writer, work) == 0, output(work)
        found[name] = Undisturbed(contents(work), time.monotonic() - begun)
    end, turns = time.monotonic() + seconds, itertools.count(1)
    counts = {"kills of commands": 0, "killed commands that were completed": 0, "pairs of commands at once": 0}
    for turn, (name, writer) in zip(turns, itertools.cycle(writers.items())):
        counts["kills of commands"] += kill_and_complete(writer, new(folder, "killed"), before, found[name])
        counts["killed commands that were completed"] += 1
        start_two(writer, new(folder, "two"), found[name])
        counts["pairs of commands at once"] += 1
        if turn >= len(writers) and time.monotonic() > end:
            break
    print(json.dumps(counts))


def kill_and_complete(writer: Writer, work: Path, before: dict[str, Any], whole: Undisturbed) -> int:
    """Kill a command until it is quicker, check what is there, and complete it; the number of kills."""
    kills = 0
    while kills < ENOUGH:
        child = start(work, lambda: cli.main(writer.words))
        time.sleep(random.random() * whole.seconds)
        if os.waitpid(child, os.WNOHANG)[0] == child:
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        after = without_leftovers(contents(work))
        for name, content in before.items():
            assert after[name] == content or (name == writer.result and after[name] == whole.files[name]), name
        if writer.kind in ("file", "folder"):
            assert result_of(writer.result, after) in ({}, result_of(writer.result, whole.files))
    complete = result_of(writer.result, contents(work)) == result_of(writer.result, whole.files)
    code = run(writer, work)
    assert code == 0 or (code == 2 and complete and writer.kind in ("file", "folder")), output(work)
    after = without_leftovers(contents(work))
    if code:  # killed between its result and the removal of its parts
        after = {name: content for name, content in after.items() if not name.startswith(f"{writer.result}.parts/")}
    assert after == whole.files, differing(after, whole.files)
    assert writer.kind != "run" or not leftovers(work), leftovers(work)
    return kills


def start_two(writer: Writer, work: Path, whole: Undisturbed) -> None:
    """Start a command twice, and check that one was refused, or that both have made the whole result."""
    one = start(work, lambda: cli.main(writer.words))
    time.sleep(random.random() * whole.seconds)
    codes = sorted((ended(start(work, lambda: cli.main(writer.words)), work), ended(one, work)))
    assert codes == [0, 2] or (codes == [0, 0] and writer.kind not in ("file", "folder")), output(work)
    after = contents(work)
    assert after == whole.files, differing(after, whole.files)


def new(folder: Path, name: str) -> Path:
    """A copy of the inputs; an earlier one of this name is removed."""
    shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(folder / "inputs", folder / name)
    return folder / name


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of files that are not in both, or not equal."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def run(writer: Writer, work: Path) -> int:
    """Run a command to its end; the exit code."""
    return ended(start(work, lambda: cli.main(writer.words)), work)


def start(work: Path, call: Callable[[], int | None]) -> int:
    """Call a function in a new process, in a working directory beside which its output is kept; the process id."""
    child = os.fork()
    if child:
        return child
    os.chdir(work)
    descriptor = os.open(f"{work}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = 70
    try:
        code = call() or 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int, work: Path) -> int:
    """Wait for a process that must not crash; its exit code."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 2), f"exit code {code}: {output(work)}"
    return code


def output(work: Path) -> str:
    """The last output of the commands in a working directory."""
    return Path(f"{work}.txt").read_text(errors="replace")[-3000:]


def import_what_it_imports(writer: Writer, work: Path) -> None:
    """Import here what a command imports, so that its forks start quickly; no threads are started."""
    modules = Path(f"{work}.modules")

    def command() -> int:
        code = cli.main(writer.words)
        modules.write_text("\n".join(sys.modules))
        return code

    assert ended(start(work, command), work) == 0, output(work)
    with warnings.catch_warnings(action="ignore"):
        for name in modules.read_text().splitlines():
            if not name.startswith("__"):
                with suppress(Exception):
                    importlib.import_module(name)


if __name__ == "__main__":
    main()
