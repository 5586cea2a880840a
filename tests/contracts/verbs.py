"""All commands that write, with small inputs. A new verb is tested by being listed in WRITERS.

The commands run in a working directory that `make_inputs` has filled.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kge_data.files import HOLDER, LOCK, TEMPORARY
from mulde import cli

GRAPH = "--data graph --threads 1"
UNTIMED = "--checkpoint-every 1e6"  # no checkpoint more on a slow machine
TINY = f"{GRAPH} --dim 2 --epochs 1 --batch-size 50 --negatives 2 {UNTIMED}"
TEACHERS = "--teacher one --teacher two --top-k 2"
STREAM = "--classes 3 --width 0.0625 --stride-min 2 --stride-max 4 --max-updates 1 --threads 1"
FORMATS = ("fp16", "int8", "onnx", "onnx-int8", "tsv", "parquet", "numpy", "pykeen")


@dataclass(frozen=True)
class Writer:
    """A command that writes."""

    command: str
    """Its words."""
    result: str
    """What it writes, a file or folder."""
    kind: str = "file"
    """file: a new file, which appears at the end; old: a file that is replaced; folder: a new folder, which appears at
    the end; run: a folder with a lock, in which an interrupted command continues; kept: a file beside the model,
    without which the command works too."""

    @property
    def words(self) -> list[str]:
        """The words of the command line."""
        return self.command.split()


WRITERS = {
    "train": Writer(f"train diste {TINY} --out out", "out", "run"),
    "train with a record": Writer(f"train diste {TINY} --out out --save-record records.jsonl", "records.jsonl", "old"),
    "distil": Writer(f"distil --junior diste {TINY} {TEACHERS} --out out", "out", "run"),
    "distil with a cache": Writer(
        f"distil --junior diste {TINY} {TEACHERS} --method offline --curvature global --teacher-cache cache --out out",
        "cache",
        "run",
    ),
    "distil on pictures": Writer(
        f"distil --method supervised --data shapes:96,size=8 --student cnn-4 --epochs 1 --threads 1 {UNTIMED} "
        "--out out",
        "out",
        "run",
    ),
    "run": Writer(
        f"run {TINY} --junior diste --teacher diste --teacher refe --teacher-dim 2 --top-k 2 --out out", "out", "run"
    ),
    "tune": Writer(f"tune diste {TINY} --trials 1 --out out", "out", "run"),
    "ablate": Writer(
        "ablate kd --seeds 1 --fraction 0.001 --variant baseline --threads 1 --out out", "out", "run"
    ),
    "stream": Writer(f"stream frames --teacher masks {STREAM} --out out", "out", "run"),
    "evaluate": Writer("evaluate one --split valid --threads 1", "one/valid.json", "kept"),
    "classify": Writer("evaluate one --task classification --threads 1", "one/calibration.json", "kept"),
    "explain": Writer(
        "explain one --head e1 --relation r0 --tail e2 --rule-seconds 0 --threads 1", "one/calibration.json", "kept"
    ),
    "predict": Writer("predict one --head e1 --relation r0 --threads 1", "one/calibration.json", "kept"),
    "predict a set": Writer(
        "predict one --head e1 --relation r0 --coverage 0.5 --threads 1", "one/coverage.json", "kept"
    ),
    **{
        f"predict to {ending}": Writer(
            f"predict two --queries queries.csv --chunk 2 --threads 1 --out out.{ending}", f"out.{ending}"
        )
        for ending in ("csv", "tsv", "parquet")
    },
    **{
        f"discover to {ending}": Writer(f"discover one --top 3 --threads 1 --out out.{ending}", f"out.{ending}")
        for ending in ("csv", "parquet")
    },
    "report": Writer("report one --queries 0 --out out.html", "out.html"),
    "report again": Writer("report one --queries 0 --out old.html --overwrite", "old.html", "old"),
    "pack": Writer("pack one --threads 1 --out out", "out", "folder"),
    "pack to zip": Writer("pack one --threads 1 --out out.zip", "out.zip"),
    **{
        f"export to {kind}": Writer(f"export one --threads 1 --to {kind} --out out", "out", "folder")
        for kind in FORMATS
    },
    "pack a student": Writer("pack student --out out.zip", "out.zip"),
    "predict pictures": Writer("predict student frames --out out.csv", "out.csv"),
    "report a student": Writer("report student --no-latency --out out.html", "out.html"),
}  # fmt: skip
"""Name -> command. Its first word is the verb."""
READERS = ("list", "show")
"""Verbs that write nothing."""


def make_inputs(folder: Path) -> None:
    """Fill an empty folder, which is the working directory: a graph, two models, queries, pictures, and old results."""
    from mulde.vision.video.generated import drifting
    from tests.vision.small_students import write_untrained
    from tests.vision.video.test_labelled import pictures

    triples = sorted({(i, name, (i * (1 + name) + j) % 20) for i in range(20) for name in range(3) for j in (1, 3, 7)})
    lines = [f"e{head}\tr{relation}\te{tail}\n" for head, relation, tail in triples]
    (folder / "graph").mkdir()
    for number, name in enumerate(("train", "valid", "test")):  # validation triples are enough for probabilities
        (folder / f"graph/{name}.txt").write_text("".join(lines[number::3]))
    (folder / "queries.csv").write_text("head,relation,tail\n" + "e1,r0,\n,r1,e2\ne3,r0,\n")
    video = drifting(3, 40, cuts=(), objects=2, seed=1)
    pictures(folder / "frames", video.images)
    pictures(folder / "masks", video.labels)
    write_untrained(folder / "student", "embed")
    for name in ("one", "two"):
        assert cli.main(["train", "diste", *TINY.split(), "--init-scale", "0.1", "--out", name]) == 0
    (folder / "records.jsonl").write_text('{"run": "before", "metrics": {}}\n')
    (folder / "old.html").write_text("<p>an old page</p>\n")
    assert cli.main(["predict", "two", "--head", "e1", "--relation", "r0"]) == 0  # fits probabilities
    explain = ["explain", "two", "--head", "e1", "--relation", "r0", "--tail", "e2", "--rule-seconds", "0"]
    assert cli.main([*explain, "--threads", "1"]) == 0  # keeps the rules of the graph in the cache
    (folder / "one/calibration.json").unlink(missing_ok=True)


VARIABLE = re.compile(r".*second.*|environment|date|log_sha256|file_checksum")
"""Keys of JSON files whose values differ between two runs of a command."""


def contents(folder: Path) -> dict[str, Any]:
    """Path -> content of all files in a folder but locks, without what differs between two runs of a command."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in (LOCK, HOLDER)]
    return {path.relative_to(folder).as_posix(): _content(path) for path in paths}


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return _constant(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return [_constant(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".mp4":
        return b"moov" in path.read_bytes()  # the end; what is before it depends on the threads of the encoder
    if path.name in ("study.log", "tune.md", "tune.svg"):
        return "with the times of trials"
    return path.read_bytes()


def _constant(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _constant(each) for key, each in value.items() if not VARIABLE.fullmatch(key)}
    return [_constant(each) for each in value] if isinstance(value, list) else value


def result_of(result: str, files: dict[str, Any]) -> dict[str, Any]:
    """The files of a result."""
    return {name: each for name, each in files.items() if name == result or name.startswith(f"{result}/")}


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders in a folder."""
    return [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]


def without_leftovers(files: dict[str, Any]) -> dict[str, Any]:
    """The files that are not temporary, nor in a temporary folder."""
    return {name: each for name, each in files.items() if not any(map(TEMPORARY.fullmatch, name.split("/")))}
