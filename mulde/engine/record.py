"""Results of a fit: its summary and its log."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from mulde.errors import missing
from mulde.files import writing_to


@dataclass
class Record:
    """The summary of one fit."""

    name: str | None
    """Name of the fit."""
    finished: bool = False
    """Whether the fit is finished; an interrupted fit leaves a checkpoint instead."""
    stopped_by: str = ""
    """Why it ended: "epochs", "steps", "patience", "budget", or the reason that a method or callback has given."""
    steps: int = 0
    """Updates done."""
    epochs: int = 0
    """Passes of the feed completed."""
    seconds: float = 0.0
    """Time of training and evaluation, without interruptions."""
    best_epoch: int | None = None
    """Epochs completed at the best evaluation."""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of that evaluation; of the last one if no metric is selected."""
    metrics: dict[str, float] = field(default_factory=dict)
    """All metrics of the last evaluation."""
    cost: dict[str, Any] = field(default_factory=dict)
    """Counts of what was computed, see `Cost`."""
    reused: bool = False
    """Whether the fit was finished already and this call only loaded its weights."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Record:
        """The inverse of `as_dict`; unknown keys are ignored."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


class Means:
    """Means of named scalars, computed without waiting for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of one step."""
        for key, value in values.items():
            value = value.detach()
            if key in self._sums:
                self._sums[key] += value
                self._counts[key] += 1
            else:
                self._sums[key] = value.clone()
                self._counts[key] = 1

    def merge(self, other: Means) -> None:
        """Add all scalars that another one has received."""
        for key, total in other._sums.items():
            self._sums[key] = self._sums[key] + total if key in self._sums else total.clone()
            self._counts[key] = self._counts.get(key, 0) + other._counts[key]

    def read(self) -> dict[str, float]:
        """The means so far."""
        return {key: (total / self._counts[key]).item() for key, total in self._sums.items()}

    def clear(self) -> None:
        """Begin anew."""
        self._sums, self._counts = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """Unfinished means."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


class Log:
    """The log of a fit: averages every loss term between two lines of a JSON Lines file.

    Parameters
    ----------
    path
        The file; None writes nothing.
    tensorboard
        Also write TensorBoard event files beside it.

    Raises
    ------
    MissingExtra
        If tensorboard is not installed.
    """

    def __init__(self, path: Path | None, tensorboard: bool = False) -> None:
        self._path = path
        self._means, self._epoch = Means(), Means()
        self._events = _event_writer(path.parent) if tensorboard and path is not None else None

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of one step, without waiting for the device."""
        self._means.add(values)

    def means_of_epoch(self) -> dict[str, float]:
        """Means since `begin_epoch` was called."""
        means = Means()
        means.merge(self._epoch)
        means.merge(self._means)
        return means.read()

    def begin_epoch(self) -> None:
        """Begin the means of a pass."""
        self._epoch.clear()

    def write(self, step: int, epoch: int, seconds: float, extra: dict[str, float]) -> dict[str, float]:
        """Append a line with the averages since the last one, and return the averages."""
        means = self._means.read()
        self._epoch.merge(self._means)
        self._means.clear()
        if self._path is not None:
            line = {"step": step, "epoch": epoch, "seconds": round(seconds, 3), **means, **extra}
            with writing_to(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if self._events is not None:
            for key, value in (means | extra).items():
                self._events.add_scalar(key, value, step)
        return means

    def state_dict(self) -> dict[str, Any]:
        """Unfinished averages and the length of the file, which is flushed to the disk."""
        length = 0
        if self._path is not None and self._path.exists():
            with writing_to(self._path), self._path.open("a", encoding="utf-8") as file:
                os.fsync(file.fileno())
            length = self._path.stat().st_size
        return {"line": self._means.state_dict(), "epoch": self._epoch.state_dict(), "length": length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; lines written after it are removed."""
        self._means.load_state_dict(state["line"])
        self._epoch.load_state_dict(state["epoch"])
        self.cut(state["length"])

    def cut(self, length: int = 0) -> None:
        """Shorten the file to `length` bytes."""
        if self._path is not None and self._path.exists():
            with writing_to(self._path):
                os.truncate(self._path, length)

    def close(self) -> None:
        """Close the event files."""
        if self._events is not None:
            self._events.close()


def _event_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing("event files are written by tensorboard", "tensorboard") from error
    return SummaryWriter(str(folder))
