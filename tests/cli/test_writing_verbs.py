"""All verbs that write: permissions of their files, and errors of the disk. A new verb is covered by being listed."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kge_data.files import writing
from tests.cli.conftest import RUN, Command

TINY = [
    "--data",
    "nations",
    "--dim",
    "2",
    "--epochs",
    "1",
    "--batch-size",
    "2000",
    "--negatives",
    "2",
    "--threads",
    "1",
]
VERBS = {
    "train": ["train", "diste", *TINY, "--out", "OUT", "--save-record", "records.jsonl"],
    "distil": ["distil", "--junior", "diste", *TINY, "--teacher", "MODEL", "--top-k", "2", "--out", "OUT"],
    "offline": [
        "distil", "--junior", "diste", *TINY, "--curvature", "global", "--teacher", "MODEL", "--method", "offline",
        "--teacher-cache", "cache", "--out", "OUT",
    ],
    "run": [*RUN, "--out", "COPY"],
    "tune": ["tune", "diste", *TINY, "--trials", "1", "--out", "OUT"],
    "pack": ["pack", "MODEL", "--out", "OUT"],
    "pack zip": ["pack", "MODEL", "--out", "OUT.zip"],
    **{f"export {kind}": ["export", "MODEL", "--to", kind, "--out", "OUT"] for kind in (
        "fp16", "int8", "tsv", "parquet", "numpy", "pykeen",
    )},
    "predict": ["predict", "MODEL", "--head", "usa", "--relation", "embassy", "--threads", "1"],
    **{f"predict {ending}": ["predict", "MODEL", "--queries", "queries.csv", "--out", f"OUT.{ending}"] for ending in (
        "csv", "tsv", "parquet",
    )},
    "discover": ["discover", "MODEL", "--top", "3", "--out", "OUT.csv"],
    "evaluate": ["evaluate", "MODEL", "--split", "valid", "--threads", "1"],
    "classification": ["evaluate", "MODEL", "--task", "classification", "--threads", "1"],
    "report": ["report", "MODEL", "--out", "OUT.html"],
}  # fmt: skip
"""A name -> the words of a command. MODEL: a trained model, COPY: a whole run, both copied; OUT: a new path."""
TRAIN = ("train", "distil", "run", "tune")
ERRORS = {
    errno.ENOSPC: "no space left on the device; free some space, and the same command continues",
    errno.EDQUOT: "disk quota exceeded; free some space of your quota, and the same command continues",
    errno.EFBIG: "larger than the limit for files; raise it (`ulimit -f`), and the same command continues",
    errno.EROFS: "the file system is read-only; make it writable, or name another path",
    errno.EIO: "input or output error of the disk; check the disk, and the same command continues",
}


@pytest.fixture(params=VERBS)
def words(
    request: pytest.FixtureRequest, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A command in an empty working directory, beside which its inputs are."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    found = VERBS[request.param]
    if "MODEL" in found:
        shutil.copytree(
            whole_run / "junior", tmp_path / "model", ignore=shutil.ignore_patterns("calibration.json", "valid.*")
        )
    if "COPY" in found:
        shutil.copytree(whole_run, "copy")
    (tmp_path / "queries.csv").write_text("head,relation,tail\nusa,embassy,\n")
    places = {"MODEL": str(tmp_path / "model"), "COPY": "copy", "queries.csv": str(tmp_path / "queries.csv")}
    return [places.get(word, word).replace("OUT", "result") for word in found]


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Set the umask in the block."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> content of all files but locks."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_verb_that_writes(
    words: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the disk is one sentence and changes no file; then the same command works, and follows the umask."""
    before = contents(tmp_path)
    code, sentence = list(ERRORS.items())[sum(map(len, words)) % len(ERRORS)]
    written = 3 if words[0] in TRAIN else 0  # files before the error
    calls = itertools.count(1)

    def fail(path: Path) -> None:
        if next(calls) > written:
            raise OSError(code, os.strerror(code))

    with umask(0o027), monkeypatch.context() as patch:
        patch.setattr(writing, "_sync", fail)
        output = command(*words)
    assert "Traceback" not in output.err and next(calls) > written + 1
    if "--out" not in words:  # what is printed does not depend on the file beside the model
        assert output.code == 0 and output.out
    else:
        assert output.code == 1 and output.err.endswith(f": {sentence}\n"), output.err
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if ".partial" in name]

    begun = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    with umask(0o027):
        output = command(*words)
    assert output.code == 0, output.err
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    new = [path for path in files if path.stat().st_mtime_ns != begun.get(path)]
    assert new and {path: stat.S_IMODE(path.stat().st_mode) for path in new} == dict.fromkeys(new, 0o640)
