"""Run folders with one damaged file: every command that reads them answers, or says which file is damaged."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mulde import cli
from mulde.errors import UsageError
from mulde.kge.training.listing import runs
from mulde.kge.training.record import of_run
from mulde.report.runs import open_runs
from mulde.schema import Kind, contents
from mulde.schema.kinds import Digest, Fields, Flag, Items, Maybe, Number, Text, Whole

DELETED = object()
DEEP = "[" * 100_000 + "]" * 100_000
FILES: dict[str, Kind] = {
    "summary.json": contents.SUMMARY, "model.json": contents.DESCRIPTION, "test.json": contents.EVALUATION,
    "fit/config.json": contents.CONFIG, "fit/record.json": contents.RECORD, "fit/log.jsonl": contents.LINE,
}  # fmt: skip
"""Every file of JSON in the run folder of `mulde train`."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    small = ["--data", "nations", "--dim", "2", "--epochs", "2", "--eval-every", "1", "--negatives", "2"]
    assert cli.main(["train", "roth", *small, "--threads", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "runs/run")
    return tmp_path / "runs/run"


def use(run: Path) -> bool:
    """Whether all readers accept a run; other errors than ours fail the test."""
    accepted = cli.main(["show", str(run)])
    assert accepted in (0, 2)
    for read in (lambda: runs(run.parent), lambda: of_run(run), lambda: open_runs([run])):
        try:
            read()
        except UsageError as error:
            assert "\n" not in str(error)
            accepted = 2
    return accepted == 0


def keys_of(kind: Kind, place: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Kind, bool]]:
    """The keys of a schema, what each may hold, and whether it is required."""
    if isinstance(kind, Maybe):
        return keys_of(kind.kind, place)
    if isinstance(kind, Items):
        return keys_of(kind.kind, (*place, 0))
    if not isinstance(kind, Fields):
        return []
    found = []
    for names, required in ((kind.required, True), (kind.optional, False)):
        for name, inner in names.items():
            found += [((*place, name), inner, required), *keys_of(inner, (*place, name))]
    return found


def test_the_good_one_is_good(run: Path) -> None:
    assert use(run)


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_checked(name: str, run: Path) -> None:
    """A value of a wrong type is refused with its key, and a missing one if it is required."""
    path = run / name
    lines = path.read_text().splitlines() if name.endswith("l") else [path.read_text()]
    content, checked = json.loads(lines[0]), 0
    for place, kind, required in keys_of(FILES[name]):
        for wrong in (DELETED, {"nested": [[]]}, [[None]]):
            mutant = copy.deepcopy(content)
            try:
                inner = mutant
                for key in place[:-1]:
                    inner = inner[key]
                del inner[place[-1]]
            except (KeyError, IndexError, TypeError):
                continue  # not in this file
            if wrong is not DELETED:
                inner[place[-1]] = wrong
            path.write_text("\n".join([json.dumps(mutant), *lines[1:]]))
            accepted, checked = use(run), checked + 1
            if isinstance(kind, Text | Whole | Number | Flag | Digest):
                assert not accepted or (wrong is DELETED and not required), (place, wrong)
    assert checked


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_json(name: str, run: Path) -> None:
    for content in (
        b"",
        b"\xff\xfe",
        DEEP.encode(),
        b"[]",
        b"3",
        b"1" * 5000,
        b'{"a": NaN}',
        b"{}",
        b"null",
        b"\0" * 99,
    ):
        (run / name).write_bytes(content)
        accepted = use(run)
        assert not accepted or name == "fit/config.json" or name.endswith("l"), content[:9]
