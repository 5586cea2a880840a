"""Result of a search: its trials, the best one, and the command that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mulde.report.tables import data_frame, html_table, table
from mulde.shell import command

OBJECTIVE = "validation MRR, embeddings only, filtered by train and valid"


@dataclass(frozen=True)
class Trial:
    """One training of a search."""

    number: int
    """Number in the search, from 1 (in Optuna's study from 0). Trial 1 has the values of the preset."""
    state: str
    """"finished"; "stopped early", because it was worse than the median of others; or "diverged"."""
    mrr: float | None
    """Validation MRR of its best evaluation; of the last one where it was stopped early, None where it diverged."""
    seconds: float
    """Time of the trial."""
    settings: Mapping[str, Any]
    """Values of the searched options."""


@dataclass(frozen=True, repr=False)
class Tuned:
    """Result of :func:`mulde.tune`."""

    folder: Path
    """Folder of the search: study.log, settings.yaml of the best trial, tune.json, tune.md and tune.svg."""
    title: str
    """What was tuned, on which graph."""
    trials: tuple[Trial, ...]
    """All trials, in their order."""
    best: Trial
    """The finished trial with the highest validation MRR."""
    space: Mapping[str, str]
    """Option -> the values that were searched."""
    importance: Mapping[str, float]
    """Option -> its part in the difference between the better quarter of the trials and all; empty for few trials."""
    settings: Mapping[str, Any]
    """All options of the best trial, the content of settings.yaml."""
    verb: Literal["train", "distil"]
    """The verb that takes settings.yaml."""

    @property
    def preset(self) -> Trial:
        """The first trial, with the values of the preset."""
        return self.trials[0]

    @property
    def gain(self) -> float | None:
        """By how much the best trial's validation MRR exceeds that of the preset; None where the preset diverged."""
        if self.best.mrr is None or self.preset.mrr is None:
            return None
        return self.best.mrr - self.preset.mrr

    @property
    def command(self) -> str:
        """The command that trains the model of the best trial."""
        return command(self.verb, config=self.folder / "settings.yaml")

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Rows of a table, best trial first, then those that were not finished. The preset is always among them."""
        order = sorted(self.trials, key=lambda trial: (trial.state != "finished", -(trial.mrr or 0), trial.number))
        shown = order[:most]
        shown += [] if self.preset in shown else [self.preset]
        return [_row(trial) for trial in shown]

    def table(self, most: int | None = None, markdown: bool = False) -> str:
        """The table as text."""
        return table(self.rows(most), markdown)

    def to_pandas(self) -> Any:
        """One row for each trial, in their order."""
        rows = [{**asdict(trial), **trial.settings} for trial in self.trials]
        return data_frame([{name: value for name, value in row.items() if name != "settings"} for row in rows])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "run": str(self.folder),
            "title": self.title,
            "objective": OBJECTIVE,
            "space": dict(self.space),
            "preset": asdict(self.preset),
            "best": asdict(self.best),
            "gain": self.gain,
            "importance": dict(self.importance),
            "trials": [asdict(trial) for trial in self.trials],
            "settings": dict(self.settings),
            "next": self.command,
        }

    def verdict(self) -> str:
        """The best trial against the preset, in sentences."""
        best, preset, gain = self.best, self.preset, self.gain
        if best is preset:
            return f"No trial is better than the preset, MRR {best.mrr:.4f} on valid."
        if gain is None:
            return f"Best: trial {best.number}, MRR {best.mrr:.4f} on valid. The training with the preset diverged."
        return (
            f"Best: trial {best.number}, MRR {best.mrr:.4f} on valid, {gain:.4f} above the preset ({preset.mrr:.4f}).\n"
            "It was chosen by these validation triples, so expect a smaller gain on others."
        )

    def text(self, most: int = 5) -> str:
        """Title, the best trials, the gain over the preset, and importance."""
        lines = [f"{self.title}: {self._counts()}\n{OBJECTIVE}", "", self.table(most), "", self.verdict()]
        if self.importance:
            shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.importance.items())
            lines.append(f"Importance of the options for the best quarter of the trials: {shares}")
        return "\n".join(lines)

    def _counts(self) -> str:
        parts = [f"{len(self.trials)} trials"]
        for state in ("stopped early", "diverged"):
            count = sum(trial.state == state for trial in self.trials)
            parts += [f"{count} {state}"] if count else []
        return f"{', '.join(parts)}, {duration(sum(trial.seconds for trial in self.trials))}"

    def __repr__(self) -> str:
        return f"{self.text()}\nnext: {self.command}"

    def _repr_html_(self) -> str:
        return html_table(self.rows(), f"{self.title}: {OBJECTIVE}")


def best(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial with the highest validation MRR, the earliest of equal ones; None if none is finished."""
    finished = [trial for trial in trials if trial.state == "finished"]
    return max(finished, key=lambda trial: trial.mrr or 0.0, default=None)


def line(trials: Sequence[Trial], planned: int) -> str:
    """The last trial in one line, with the best one so far."""
    last, leader = trials[-1], best(trials)
    values = ", ".join(f"{name} {short(value)}" for name, value in last.settings.items())
    result = f"MRR {last.mrr:.4f} on valid" if last.state == "finished" else last.state
    so_far = "" if leader in (None, last) else f"; best {leader.mrr:.4f}, trial {leader.number}"
    return f"trial {last.number} of {planned}: {result}, {duration(last.seconds)} ({values}){so_far}"


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "trial": f"{trial.number} (preset)" if trial.number == 1 else str(trial.number),
        "MRR on valid": trial.mrr if trial.state == "finished" else None,
        **{name: short(value) for name, value in trial.settings.items()},
        "time": duration(trial.seconds),
        "state": trial.state,
    }


def short(value: Any) -> str:
    """A value of an option, to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Seconds as 8.2 s, 41 s, 5 min 12 s or 2 h 5 min."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
