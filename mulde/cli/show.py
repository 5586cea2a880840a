"""Show a run folder or a bundle: model, state, loss curve and results.

Examples:
    mulde show runs/umls
    mulde show runs/umls/junior --json
    mulde show umls-8

A student of an image method has other options: `mulde show RUN --help` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulde import schema
from mulde.cli._output import show
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError
from mulde.files import sha256_of
from mulde.report.tables import metrics_rows, model_line, table
from mulde.schema import contents

FILES = {
    "model": ("model.json", contents.DESCRIPTION), "config": ("fit/config.json", contents.CONFIG),
    "fit": ("fit/record.json", contents.RECORD), "valid": ("valid.json", contents.EVALUATION),
    "test": ("test.json", contents.EVALUATION), "summary": ("summary.json", contents.SUMMARY),
}  # fmt: skip
LINES = 8  # of the loss curve
HIDDEN = ("parameters", "best epoch", "Hits@3", "folder")  # columns of the summary left out to fit 80 characters
FIRST = ("model", "json")


@dataclass(frozen=True)
class Config:
    """What to show."""

    model: Positional[Path]
    """Run folder of a single model or of a whole `mulde run`; or a bundle or pretrained model, whose model card is
    shown."""
    json: bool = False
    """Print everything as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde show", __doc__ or "", first=FIRST)
    from mulde.kge.storage.bundle import CARD, is_bundle, locate, read

    folder = settings.model if settings.model.exists() else locate(settings.model)
    if is_bundle(folder):
        bundle = read(folder)
        return show(bundle.manifest, bundle.file(CARD).decode(), settings.json)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a run folder or a bundle")
    found = {name: schema.read(folder / file, kind) for name, (file, kind) in FILES.items()}
    stages = {str(path.parent.parent): _state(path.parent) for path in sorted(folder.glob("*/**/fit/config.json"))}
    if not any(found.values()) and not stages:
        files = ", ".join(file for file, _ in FILES.values())
        raise UsageError(f"{folder}: expected a run folder, found no {files} in it")
    curve = _curve(folder / "fit", found["fit"])
    about = [str(folder)]
    if found["model"]:
        about.append(model_line(found["model"]))
    if found["config"]:
        about.append(_state(folder / "fit"))
    parts = ["\n".join(about)]
    if curve:
        parts.append(table(curve))
    for split in ("valid", "test"):
        if report := found[split]:
            parts.append(f"{split} split, filtered, both directions\n{table(metrics_rows(report))}")
    if stages:
        parts.append(table([{"stage": stage, "state": state} for stage, state in stages.items()]))
    if stages and (summary := found["summary"]):
        rows = [{name: row[name] for name in row if name not in HIDDEN} for row in summary["rows"]]
        parts.append(table(rows))
    return show({**found, "curve": curve, "stages": stages}, "\n\n".join(parts), settings.json)


def _state(fit: Path) -> str:
    """State of a fit in words."""
    record = schema.read(fit / "record.json", contents.RECORD)
    if record is None:
        return "not finished; the same command continues it"
    why = "" if record["stopped_by"] == "epochs" else f", stopped by {record['stopped_by']}"
    epochs = f"{record['epochs']} epoch{'s' * (record['epochs'] != 1)}"
    return f"{epochs} in {record['seconds']:,.0f} s{why}; best epoch {record['best_epoch']}"


def _curve(fit: Path, record: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Evenly spaced lines of a training log: epoch, loss terms and validation MRR.

    Raises
    ------
    UsageError
        If the log of a finished fit has changed since. One with a checkpoint may be continuing with a larger budget.
    """
    path = fit / "log.jsonl"
    lines = schema.read_lines(path, contents.LINE)
    checksum = (record or {}).get("log_sha256")
    if checksum and not (fit / "checkpoint.pt").exists() and not (path.exists() and sha256_of(path) == checksum):
        raise UsageError(
            f"{path}: its checksum is not the one in record.json; the file is damaged or was edited; put back a copy"
        )
    lines = [line for line in lines if "valid/mrr" in line] or lines
    chosen = sorted({round(i * (len(lines) - 1) / (LINES - 1)) for i in range(LINES)}) if lines else []
    return [{name: value for name, value in lines[i].items() if _in_curve(name)} for i in chosen]


def _in_curve(name: str) -> bool:
    """Whether a column is the epoch, a loss term (learner/term) or the validation MRR."""
    group, _, term = name.partition("/")
    return name in ("epoch", "valid/mrr") or (bool(term) and group not in ("lr", "grad_norm", "valid", "attention"))
