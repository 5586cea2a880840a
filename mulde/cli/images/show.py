"""Show the run folder or bundle of a student: network, input, state, curve and results.

Examples:
    mulde show runs/small
    mulde show runs/small --json
    mulde show small.zip          the model card
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulde.cli._output import show
from mulde.config.command_line import Positional, parse
from mulde.report.tables import table
from mulde.vision.pictures.wording import counted

FIRST = ("model", "json")
LINES = 8  # of the curve
NOT_SHOWN = ("lr", "grad_norm")


@dataclass(frozen=True)
class Config:
    """What to show."""

    model: Positional[Path]
    """Run folder or bundle of an image method."""
    json: bool = False
    """Print everything as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde show", __doc__ or "", first=FIRST)
    from mulde.report.images.runs import open_image_runs
    from mulde.storage.container import CARD, is_bundle
    from mulde.vision.storage import bundle

    if is_bundle(settings.model):
        found = bundle.read(settings.model)
        return show(found.manifest, found.file(CARD).decode(), settings.json)
    [run] = open_image_runs([settings.model])
    about = run.description
    given, made = about["input"], about["architecture"]
    size = "any size" if given["size"] is None else "{} x {}".format(*reversed(given["size"]))
    colour, source = "grey" if given["channels"] == 1 else "colour", about["data"]["source"] or "in memory"
    parts = [
        f"{made.get('name') or made['made_by']}, {about['method']}, {about['parameters']:,} parameters\n"
        f"{about['task']}: {', '.join(about['classes'][:10])}{' ...' * (len(about['classes']) > 10)}\n"
        f"input: {size} pixels, {colour}; data: {source}"
    ]
    if run.records:
        parts.append(table([{"stage": name, **_state(record)} for name, record in run.records.items()]))
    if curve := _curve(run.logs.get("fit", [])):
        parts.append(table(curve))
    if run.rows:
        parts.append(table(run.rows))
    elif metrics := about.get("metrics"):
        parts.append(table([{"part": part, **values} for part, values in metrics.items() if isinstance(values, dict)]))
    result = {"model": about, "rows": run.rows, "stages": run.records, "curve": curve}
    return show(result, "\n\n".join(parts), settings.json)


def _state(record: dict[str, Any]) -> dict[str, Any]:
    """State of a stage."""
    if not record:
        return {"state": "not finished; the same command continues it"}
    why = "" if record["stopped_by"] == "epochs" else f", stopped by {record['stopped_by']}"
    return {"state": f"{counted(record['epochs'], 'epoch')} in {record['seconds']:,.0f} s{why}"}


def _curve(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evenly spaced lines of a log: epoch, loss terms and validation metrics."""
    lines = [line for line in log if any(name.startswith("valid/") for name in line)] or log
    chosen = sorted({round(i * (len(lines) - 1) / (LINES - 1)) for i in range(LINES)}) if lines else []
    return [{name: value for name, value in lines[i].items() if name == "epoch" or _in_curve(name)} for i in chosen]


def _in_curve(name: str) -> bool:
    group, _, term = name.partition("/")
    return bool(term) and group not in NOT_SHOWN
