"""Writing into a run folder: one process at a time, and no file of others is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mulde.files import locked, refuse_files_of_others
from mulde.kge.training.fit import Progress, Report

FIT = "**/fit/config.json"
WRITTEN = (
    "entities.tsv", "relations.tsv", "known.npz", "model.json", "model.safetensors", "senior.safetensors",
    "senior.json", "senior.ranks.npz", "ensemble.json", "ensemble.ranks.npz", "test.json", "test.ranks.npz",
    "settings.yaml", "summary.json", "summary.md", "study.log", "tune.json", "tune.md", "tune.svg", "fit",
)  # fmt: skip
"""Names that a training, run or search writes into its folder."""


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
