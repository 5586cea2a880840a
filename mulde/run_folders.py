"""Run folders: one process writes at a time, files of others are not replaced, and an old run is moved aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mulde.engine.progress import Progress, Report
from mulde.errors import UsageError
from mulde.files import locked, move_aside, refuse_files_of_others

FIT = "**/fit/config.json"
WRITTEN = (
    "entities.tsv", "relations.tsv", "known.npz", "model.json", "model.safetensors", "senior.safetensors",
    "senior.json", "senior.ranks.npz", "ensemble.json", "ensemble.ranks.npz", "test.json", "test.ranks.npz",
    "settings.yaml", "summary.json", "summary.md", "study.log", "tune.json", "tune.md", "tune.svg", "fit",
)  # fmt: skip
"""Names that a training, run or search writes into its folder."""
OURS = ("fit", "rounds", "junior", "baseline", "teacher", "teachers", "summary.json", "model.json")
"""Names of which one is in every run folder."""


def waiting(wait: bool, progress: Report) -> Callable[[str], object] | None:
    """The argument `wait` of `mulde.files.locked`; a job that waits reports for whom."""
    return (lambda text: progress(Progress("wait", text))) if wait else None


@contextmanager
def locked_run(
    folder: Path | None, wait: Callable[[str], object] | None = None, *, finished: bool = False
) -> Iterator[None]:
    """Hold the lock of a run folder during the block; parameters and errors as for `mulde.files.locked`.

    Raises
    ------
    UsageError
        Also if the folder is not that of an earlier run, and holds a file with a name of WRITTEN.
    """
    if folder is not None:
        refuse_files_of_others(folder, WRITTEN, FIT)
    with locked(folder, wait, finished=finished):
        yield


def restart(folder: Path, progress: Report, wait: Callable[[str], object] | None = None) -> None:
    """Rename an existing run folder to NAME.before-restart-DATE, and report its new path; `wait` as for `locked`.

    Raises
    ------
    UsageError
        If the folder holds other files and no run, or another process writes into it.
    """
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not any((folder / name).exists() for name in OURS)):
        raise UsageError(f"--restart moves a run folder aside, and {folder} is none; name another --out")
    progress(Progress("restart", f"{folder} moved to {move_aside(folder, wait)}"))
