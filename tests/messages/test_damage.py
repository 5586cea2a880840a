"""Messages about damaged models, models of other graphs and settings, and the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mulde import cli
from mulde.kge.storage.run_folder import DESCRIPTION, WEIGHTS
from tests.messages.conftest import ALL_SCORERS, LISTED, SMALL, Failure, change


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights flipped": (
        lambda model: flip(model / WEIGHTS, -5),
        "model/model.safetensors: its checksum is not the one in model.json; the file is damaged or belongs to another "
        "model; copy both files again, or remove both and repeat the training command",
    ),
    "no weights": (
        lambda model: (model / WEIGHTS).unlink(),
        "model: expected model.safetensors in it, found none; copy it again, all files together",
    ),
    "description cut": (
        lambda model: (model / DESCRIPTION).write_text("{"),
        "model/model.json: expected JSON, but Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1); the file is damaged or was changed",
    ),
    "another format": (
        lambda model: change(model / DESCRIPTION, format="mulde model 1"),
        "model/model.json: expected format 'mulde model 2', found 'mulde model 1'; it was written by another version "
        "of mulde; open it with that version, or train the model again",
    ),
    "incomplete": (
        lambda model: (model / DESCRIPTION).write_text('{"format": "mulde model 2"}'),
        "model/model.json: expected the key scorer, found none; the file is damaged or was changed",
    ),
    "odd options": (
        lambda model: change(model / DESCRIPTION, model={"dim": 5}),
        "model/model.safetensors: expected weights of 14 entities with 5 dimensions and 55 relations, found (14, 4) "
        "for entities and [(110,)] for relations in both directions; the file is damaged or was changed",
    ),
    "a scorer that is gone": (
        lambda model: change(model / DESCRIPTION, scorer="gone"),
        f'no scorer called "gone"; there are {ALL_SCORERS}; {LISTED}; pass your own scorer as a class',
    ),
    "data that are gone": (
        lambda model: (
            (model / "known.npz").unlink(),
            change(model / DESCRIPTION, data={"source": "gone.tsv", "name": "gone", "checksum": ""}),
        ),
        "model model was trained on gone.tsv, which is not found; pass the graph with --data (gone.tsv: no "
        "such file or folder; check the path, or give a name from `python -m kge_data list`.)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(damage: str, here: Path, failure: Failure) -> None:
    do, sentence = DAMAGES[damage]
    do(here / "model")
    assert failure("evaluate model --threads 1") == (2, sentence)


def test_a_teacher_whose_names_are_not_known_cannot_teach(here: Path, failure: Failure) -> None:
    change(here / "model" / DESCRIPTION, data={"source": "gone.tsv", "name": "nations", "checksum": ""})
    assert failure("distil --data kinships --threads 1 --teacher model") == (
        2,
        "model model was trained on another list of names (14 entities and 55 relations of nations, here 104 and 25 of "
        "kinships); its scores would belong to the wrong entities; pass the right graph",
    )


def test_a_run_with_other_settings(here: Path, failure: Failure) -> None:
    line = " ".join(["train", "roth", *SMALL, "--out model --seed 3 --bias shared"])
    assert failure(line) == (
        2,
        "model holds a run with other settings; give another --out, --restart, or the old settings:\n"
        '  bias: was "separate", is "shared"\n  seed: was 0, is 3',
    )


def test_a_graph_without_valid(here: Path, failure: Failure) -> None:
    (here / "graph").mkdir()
    for split in ("train", "test"):
        (here / f"graph/{split}.tsv").write_text("a\tr\tb\nb\tr\ta\n")
    assert failure("train roth --data graph") == (
        2,
        "graph: no file for the split valid; expected valid.txt (or .tsv, .csv, .nt, .ttl, .parquet, each also with "
        ".gz or .zst), found test.tsv, train.tsv.",
    )


def test_the_same_names_but_other_triples(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a run folder of an earlier version, which has no graph."""
    (here / "model/known.npz").unlink()
    change(here / "model" / DESCRIPTION, data={"source": "nations", "name": "nations", "checksum": "sha256:0"})
    assert cli.main(["evaluate", "model", "--threads", "1"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "mulde: nations has other triples than the graph of the training; nations is used",
        "mulde: running on cpu, 1 thread",
        "mulde: nations has the names, but not the triples that model model was trained on, and its graph prior "
        "depends on them; pass the right graph",
    ]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk(wrapped: bool, here: Path, failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "x")
        except OSError as error:
            if wrapped:
                raise RuntimeError("unexpected pos 64 vs 0") from error
            raise

    monkeypatch.setattr("mulde.engine.checkpoint.save_weights", full)
    assert failure(" ".join(["train", "roth", *SMALL, "--out new"])) == (
        1, "x: no space left on the device; free some space, and the same command continues",
    )  # fmt: skip


@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.EDQUOT, "disk quota exceeded; free some space of your quota, and the same command continues"),
        (errno.EFBIG, "larger than the limit for files; raise it (`ulimit -f`), and the same command continues"),
        (errno.EROFS, "the file system is read-only; make it writable, or name another path"),
        (errno.EIO, "input or output error of the disk; check the disk, and the same command continues"),
    ],
)
def test_errors_of_the_disk(
    code: int, sentence: str, library: bool, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the system, or of a library that keeps its text only."""

    def broken(words: list[str]) -> int:
        raise RuntimeError(f"I/O: {os.strerror(code)} (os error {code})") if library else OSError(code, "")

    monkeypatch.setattr(cli, "_dispatch", broken)
    found = failure("pack umls-8")
    assert found[0] == 1 and found[1] == sentence


def test_scores_that_are_no_numbers(here: Path, failure: Failure) -> None:
    code, sentence = failure(" ".join(["train", "rote", *SMALL, "--lr 1e38 --optimizer sgd --epochs 20 --out new"]))
    assert code == 1
    assert sentence.startswith(('"model/hard" became ', "scores contain "))
