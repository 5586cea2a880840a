"""Result of an ablation study: its runs and their statistics as one mapping, as text, and as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mulde import catalogue
from mulde.engine.provenance import environment
from mulde.files import make_folder, read_json, utf8, write_atomically
from mulde.report.tables import table
from mulde.vision.ablation.statistics import Row, configurations, summary, verdict
from mulde.vision.ablation.study import Study

WRITTEN = ("results.json", "table.md", "plot.png")
"""Files of `write`."""


def result_of(
    method: ModuleType, study: Study, rows: Sequence[Row], *, data: str | None, notes: str, command: str
) -> dict[str, Any]:
    """Everything that is known about a study whose runs have ended.

    Parameters
    ----------
    method
        The module of a method file.
    study
        The comparison.
    rows
        Runs of `statistics.runs`.
    data
        Other data than the study's, as after --data.
    notes
        Differences from the paper's experiment.
    command
        The command that was given.
    """
    seeds, variants = (list(dict.fromkeys(row[name] for row in rows)) for name in ("seed", "variant"))
    lines, path = summary(rows, study.metric), Path(str(method.__file__))
    return {
        "method": path.stem,
        "field": catalogue.field(path),
        "claim": catalogue.summary(path),
        "metric": study.metric,
        "data": study.described(seeds, data),
        "notes": "; ".join(filter(None, (notes, study.meaning))),
        "verdict": verdict(lines),
        "summary": lines,
        "second": _second(rows, study.second_metric),
        "runs": list(rows),
        "configurations": configurations(study, variants),
        "environment": environment(),
        "command": command,
    }


def kept(folder: Path, study: Study, seeds: Sequence[int], variants: Sequence[str]) -> dict[str, Any] | None:
    """The result that a folder has of the same study; None where there is none, or one with other settings."""
    found = read_json(folder / "results.json")
    if found is None or not found.keys() >= {"runs", "seconds"}:
        return None
    wanted = {
        "data": study.described(seeds),
        "metric": study.metric,
        "configurations": json.loads(json.dumps(configurations(study, variants), default=str)),
    }
    pairs = [(row["seed"], row["variant"]) for row in found["runs"]]
    same = pairs == [(seed, variant) for seed in seeds for variant in variants]
    return found if same and all(found.get(name) == value for name, value in wanted.items()) else None


def text(result: Mapping[str, Any]) -> str:
    """What a terminal shows of a result."""
    notes = f"\n{result['notes']}" if result["notes"] else ""
    head = f"{result['claim']}\n{result['data']}{notes}"
    return "\n\n".join([head, *_comparisons(result)])


def write(folder: Path, result: Mapping[str, Any], report: Callable[[str], None]) -> None:
    """Write results.json, table.md and, where matplotlib is installed, plot.png."""
    make_folder(folder)
    write_atomically(folder / "results.json", (json.dumps(result, indent=1, default=str) + "\n").encode())
    markdown = [
        f"## {result['claim']}",
        f"`{result['command']}`",
        f"{result['data']}. {result['notes']}".strip(),
        *_comparisons(result, markdown=True),
    ]
    write_atomically(folder / "table.md", utf8("\n\n".join(markdown) + "\n"))
    try:
        from mulde.vision.ablation.plot import plot_variants
    except ImportError:
        report("no plot, because matplotlib is not installed; install it with `pip install mulde[vision]`")
        return
    plot = plot_variants(result["runs"], result["metric"], result["claim"], result["data"])
    write_atomically(folder / "plot.png", plot)


def _second(rows: Sequence[Row], metric: str) -> dict[str, Any] | None:
    """The same statistics of a second metric; None where the study has none."""
    if not metric:
        return None
    lines = summary(rows, metric)
    return {"metric": metric, "verdict": verdict(lines), "summary": lines}


def _comparisons(result: Mapping[str, Any], markdown: bool = False) -> Iterator[str]:
    """A table and a sentence for each metric that is compared."""
    for part in (result, result["second"]):
        if part:
            rows = [{_words(key): value for key, value in line.items()} for line in part["summary"]]
            yield table(rows, markdown)
            yield f"{_words(part['metric'])}: {part['verdict']}"
    if "chosen" in result:
        yield f"settings chosen in the search, {len(result['search'])} trials"
        yield table(result["chosen"], markdown)


def _words(name: str) -> str:
    return name.replace("_", " ")
