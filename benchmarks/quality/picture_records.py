"""Records of the studies on real pictures: all studies in one file, and all trials of their searches in another.

results/pictures          a record for each study, seed and variant; a table and a picture of the differences
results/search/pictures   a record for each trial, and a table
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.harness import records
from benchmarks.quality import vision
from mulde.files import write_atomically

SEARCH_SEED = 99
SEARCHES = Path("search/pictures")
"""Folder of the trials, beside that of the studies."""


def record(folder: Path, name: str, result: Mapping[str, Any]) -> None:
    """Replace the records of one study, and write the table and the picture of all."""
    replace(folder, name, vision.of_study(dict(result)))
    write_table(folder)


def record_search(folder: Path, name: str, command: str, trials: Sequence[records.Record]) -> None:
    """Replace the trials of one study, and write the table of all trials."""
    replace(folder, name, [{**trial, "command": command, **records.environment()} for trial in trials])
    rows = [
        {
            "study": it["study"], "variant": it["variant"],
            "settings": ", ".join(f"{key.split('.')[-1]} {_short(value)}" for key, value in it["settings"].items()),
            "metric": next(iter(it["metrics"])), "validation part": next(iter(it["metrics"].values())),
        }
        for it in records.read(folder)
    ]  # fmt: skip
    records.write_table(folder, f"Trials of the studies on pictures, seed {SEARCH_SEED}, which is not reported", rows)


def replace(folder: Path, name: str, own: Iterable[records.Record]) -> None:
    """Replace the records of one study among those of all."""
    others = [it for it in records.read(folder) if it["study"] != name]
    records.write(folder, [*others, *({**it, "run": f"{name}, {it['run']}", "study": name} for it in own)])


def write_table(folder: Path) -> None:
    """The table of all studies in a folder, and a picture of their differences from the baseline."""
    studies: dict[str, list[records.Record]] = {}
    for it in sorted(records.read(folder), key=lambda it: str(it["study"])):
        studies.setdefault(it["study"], []).append(it)
    rows = [{"study": name, **vision.line(own)} for name, own in studies.items()]
    records.write_table(folder, "Test metric by variant on real pictures, paired seeds or videos", rows)
    write_atomically(folder / "plot.png", plot(studies))


def plot(studies: Mapping[str, Sequence[records.Record]]) -> bytes:
    """A PNG: for every study the paired differences of the method from its baseline, their mean and its interval."""
    figure = Figure(figsize=(6.4, 1.2 + 0.36 * len(studies)), layout="constrained")
    axes = figure.add_subplot()
    for row, found in enumerate(studies.values()):
        differences = vision.differences(found)
        middle, margin = vision.interval(differences)
        axes.plot(differences, [row] * len(differences), "o", color="0.6", markersize=4)
        axes.errorbar([middle], [row], xerr=[margin], fmt="|", color="C0", markersize=12, capsize=4)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_yticks(range(len(studies)), [f"{name}, {found[0]['metric']}" for name, found in studies.items()])
    axes.invert_yaxis()
    axes.set_xlabel("method minus baseline on test data\ngrey: one seed or video; blue: mean and 95 % interval")
    axes.xaxis.label.set_fontsize(8)
    axes.tick_params(labelsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else " ".join(value)
