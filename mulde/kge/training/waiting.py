"""What a job does where another process writes into its folder: wait, or raise an error."""

from __future__ import annotations

from collections.abc import Callable

from mulde.kge.training.fit import Progress, Report


def waiting(wait: bool, progress: Report) -> Callable[[str], object] | None:
    """The argument `wait` of `mulde.files.locked`; a job that waits reports for whom."""
    return (lambda text: progress(Progress("wait", text))) if wait else None
