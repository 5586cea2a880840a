"""The time budget of a run, divided among its stages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mulde.files import read_json


class Budget:
    """Divides the time that is left among the stages that are left.

    Parameters
    ----------
    seconds
        Time for all stages; None: unlimited.
    parts
        Parts of all stages; the Junior has two.
    used
        Seconds of earlier calls. They are subtracted, so that no limit grows and finished stages stay finished.
    """

    def __init__(self, seconds: float | None, parts: int, used: float):
        self.left = parts
        self.end = None if seconds is None else time.monotonic() + seconds - used

    def limit(self, parts: int = 1, each: int = 1) -> float | None:
        """Seconds for the next stages, which take this many parts, ``each`` of them one after the other."""
        if self.end is None:
            return None
        fraction = parts / self.left
        self.left -= parts
        return round(max(1.0, (self.end - time.monotonic()) * fraction / each))


def used_by(teachers: Sequence[Path], others: Sequence[Path], parallel: int, most: float) -> float:
    """Seconds of the stages that earlier calls finished.

    Teachers may come from other runs: each counts ``most`` seconds at most, and those trained side by side share them.
    """
    of_teachers = sum(min(most, _seconds(place) / parallel) for place in teachers)
    return of_teachers + sum(map(_seconds, others))


def _seconds(place: Path) -> float:
    return float((read_json(place / "fit/record.json") or {"seconds": 0.0})["seconds"])
