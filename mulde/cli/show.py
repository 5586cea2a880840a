"""What a run folder holds: its settings, how far it is, and its results.

    mulde show runs/umls/junior-roth-32
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulde import config
from mulde.cli._output import model_first, show
from mulde.errors import UsageError
from mulde.report import metrics_rows, table


@dataclass(frozen=True)
class Config:
    """Which run."""

    model: Path
    """Run folder; may also be given as the first word."""
    json: bool = False
    """Print everything as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = config.parse(Config, model_first(argv), "mulde show", __doc__ or "")
    folder = settings.model
    contents = {name: _read(folder / file) for name, file in FILES.items()}
    summary = _read(folder / "summary.json")
    if not any(contents.values()) and summary is None:
        raise UsageError(f"{folder}: expected a run folder, found no model.json, fit/config.json or summary.json in it")
    lines = [str(folder)]
    if summary is not None:
        lines.append(table(summary["rows"]))
    if model := contents["model"]:
        lines.append(f"{model['scorer']}, {model['model']['dim']} dimensions, {model['parameters']:,} parameters, {model['data']['name']}")
    if fit := contents["fit"]:
        lines.append(f"{'finished' if fit['finished'] else 'unfinished'}: {fit['steps']:,} updates, {fit['epochs']} epochs, {fit['seconds']:.0f} s, stopped by {fit['stopped_by']}, best epoch {fit['best_epoch']}")
    elif contents["config"]:
        lines.append("not finished; the same command continues it")
    for split in ("valid", "test"):
        if report := contents[split]:
            lines += [f"{split} split", table(metrics_rows(report))]
    return show({**contents, "summary": summary}, "\n".join(lines), settings.json)


FILES = {"model": "model.json", "config": "fit/config.json", "fit": "fit/record.json", "valid": "valid.json", "test": "test.json"}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path}: expected JSON, but {error}; the file is damaged") from error
