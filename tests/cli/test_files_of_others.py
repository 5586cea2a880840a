"""Files of a person in a folder that a training, run or search is to write into: they are never replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kge_data.files import HOLDER, LOCK
from mulde.run_folders import WRITTEN
from tests.cli.conftest import RUN, Command

TINY = [
    "--data", "nations", "--dim", "2", "--epochs", "1", "--eval-every", "1", "--negatives", "2", "--threads", "1",
    "--out", "OUT",
]  # fmt: skip
VERBS = {
    "train": ["train", "diste", *TINY],
    "distil": ["distil", "--junior", "diste", "--teacher", "MODEL", "--top-k", "2", *TINY],
    "tune": ["tune", "diste", "--trials", "1", *TINY],
    "run": [*RUN, "--out", "OUT"],
}
STAGES = {"junior", "baseline", "teachers"}


def words(verb: str, model: Path, out: Path) -> list[str]:
    """A command that writes into a folder."""
    given = {"OUT": str(out), "MODEL": str(model)}
    return [given.get(word, word) for word in VERBS[verb]]


@pytest.mark.parametrize("verb", ["train", "distil", "run", "tune"])
@pytest.mark.parametrize("name", ["entities.tsv", "summary.md", "fit/log.jsonl"])
def test_a_file_of_another_is_kept(verb: str, name: str, model: Path, command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    output = command(*words(verb, model, folder))
    assert output.code == 2
    assert f"{folder}: expected a new folder or that of an earlier run, found {Path(name).parts[0]} of" in output.err
    assert (folder / name).read_text() == "mine" and len([*folder.rglob("*")]) == 1 + ("/" in name)


def test_other_files_do_not_matter_and_a_copy_without_its_lock_is_continued(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "log.txt").write_text("mine")
    train = words("train", folder, folder)
    assert command(*train).code == 0
    (folder / LOCK).unlink()
    assert command(*train).code == 0
    shutil.rmtree(folder / "fit")
    (folder / LOCK).unlink()
    assert command(*train).code == 2
    assert (folder / "log.txt").read_text() == "mine"


@pytest.mark.parametrize("verb", ["train", "distil", "tune"])
def test_all_names_that_are_written_are_listed(verb: str, model: Path, command: Command, tmp_path: Path) -> None:
    assert command(*words(verb, model, tmp_path / "out")).code == 0
    found = {path.name for path in (tmp_path / "out").iterdir()} - {LOCK, HOLDER, "trial-0"}
    assert found and found <= set(WRITTEN)


def test_all_names_in_a_whole_run_are_listed(whole_run: Path) -> None:
    ours = {LOCK, HOLDER, *STAGES}
    assert {path.name for path in whole_run.iterdir()} - ours <= {*WRITTEN}
    assert {path.name for path in (whole_run / "junior").iterdir()} - ours <= {
        *WRITTEN,
        "calibration.json",
        "valid.json",
    }
