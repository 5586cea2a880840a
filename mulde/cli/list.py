"""List scorers, methods, graphs, pretrained models or runs, one line each.

The second column of the methods is the verb that trains a student by it, the third one is the field. Runs are sorted by
graph and then by validation MRR. A `mulde run` is one line, with the better of Junior and baseline. All figures of
graphs use the embeddings only. Students of image methods follow in a table of their own.

Examples:
    mulde list scorers
    mulde list methods --field "few shots"
    mulde list methods --json
    mulde list runs
    mulde list runs old/runs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mulde import catalogue
from mulde.cli._output import show
from mulde.config import Positional
from mulde.config.command_line import parse
from mulde.errors import UsageError

RUNS = Path("runs")
TITLE = "MRR of embeddings only; gain: over the same model without distillation"


@dataclass(frozen=True)
class Config:
    """What to list."""

    kind: Positional[Literal["scorers", "methods", "data", "models", "runs"]]
    """scorers, methods, data, models (those that come with the package), or runs (those in a folder)."""
    folder: Positional[Path] = RUNS
    """Folder that is searched for runs, `mulde list runs FOLDER`; runs/ if none is given."""
    field: catalogue.Field | None = None
    """Only the methods of this field."""
    json: bool = False
    """Print JSON: a list of {"name", "summary"}, for methods also {"verb", "field"}; for runs, their figures."""


def main(argv: Sequence[str]) -> int:
    config = parse(Config, argv, prog="mulde list", description=__doc__ or "")
    if config.field is not None and config.kind != "methods":
        raise UsageError(f"mulde list {config.kind}: only methods have a field; leave out --field")
    if config.kind == "runs":
        return _runs(config.folder, config.json)
    if config.folder != RUNS:
        raise UsageError(f"mulde list {config.kind}: a folder is only searched for runs; leave out {config.folder}")
    rows = _methods(config.field) if config.kind == "methods" else _named(config.kind)
    columns = [column for column in ("name", "verb", "field") if all(column in row for row in rows)]
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    lines = ["  ".join([*(f"{row[each]:{widths[each]}}" for each in columns), row["summary"]]) for row in rows]
    return show(rows, "\n".join(lines), config.json)


def _named(kind: catalogue.Kind) -> list[dict[str, str]]:
    return [{"name": name, "summary": summary} for name, summary in catalogue.names(kind)]


def _methods(field: str | None) -> list[dict[str, str]]:
    """The methods, of one field or of all, with their verbs and fields."""
    verbs, fields = catalogue.verbs_of_methods(), catalogue.fields_of_methods()
    rows = [{**row, "verb": verbs[row["name"]], "field": fields[row["name"]]} for row in _named("methods")]
    return [row for row in rows if field in (None, row["field"])]


def _runs(folder: Path, as_json: bool) -> int:
    """Print the runs below a folder: on graphs, then on images."""
    from mulde.kge.training.listing import runs
    from mulde.report.tables import in_one_unit, table
    from mulde.vision.storage.listing import students

    found, of_images = runs(folder), students(folder)
    if not found and not of_images and not as_json:
        return show([], f"no runs in {folder}; `mulde run` makes one", as_json)
    rows = [
        {
            "graph": row["graph"], "model": row["model"], "kind": row["kind"], "dim": row["dim"],
            **({} if row["bytes"] is None else {"MB": row["bytes"] / 1e6}),
            "MRR on valid": row["valid_mrr"], "MRR on test": row["test_mrr"], "gain on test": row["gain"],
            "date": row["date"] if row["finished"] else "unfinished", "folder": row["folder"],
        }
        for row in found
    ]  # fmt: skip
    students_rows = [
        {
            "data": row["data"], "method": row["method"], "network": row["network"], "parameters": row["parameters"],
            **({} if row["bytes"] is None else {"MB": row["bytes"] / 1e6}),
            "metric": (row["metric_name"] or "").replace("_", " "), "on test": row["metric"], "date": row["date"],
            "folder": row["folder"],
        }
        for row in of_images
    ]  # fmt: skip
    parts = [f"{TITLE}\n{table(in_one_unit(rows))}"] if rows else []
    parts += [f"students of image methods\n{table(in_one_unit(students_rows))}"] if students_rows else []
    return show([*found, *of_images], "\n\n".join(parts), as_json)
