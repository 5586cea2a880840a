"""Starting anew: an existing run folder is moved aside, never removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mulde.errors import UsageError
from mulde.files import move_aside
from mulde.kge.training.fit import Progress, Report

OURS = ("fit", "junior", "baseline", "teachers", "summary.json", "model.json")  # one of them is in every run folder


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
