"""List scorers, methods, graphs, pretrained models or runs, one line each.

With a name, one entry is printed: its summary, its file and, for a method, its page in the documentation. The second
column of the methods is the verb that trains a student by it, the third one is the field. Runs are sorted by graph and
then by validation MRR. A `mulde run` is one line, with the better of Junior and baseline. All figures of graphs use the
embeddings only. Students of image methods follow in a table of their own.

Examples:
    mulde list scorers
    mulde list methods --field "few shots"
    mulde list methods --json
    mulde list methods rfs
    mulde list runs
    mulde list runs old/runs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from kge_data.spelling import spelled_as
from mulde import catalogue
from mulde.cli._output import show
from mulde.config import Positional
from mulde.config.command_line import parse
from mulde.errors import UsageError

TITLE = "MRR of embeddings only; gain: over the same model without distillation"


@dataclass(frozen=True)
class Config:
    """What to list."""

    kind: Positional[Literal["scorers", "methods", "data", "models", "runs"]]
    """scorers, methods, data, models (those that come with the package), or runs (those in a folder)."""
    name: Positional[str] = ""
    """One entry of the list; for runs, the folder that is searched, by default runs/."""
    field: catalogue.Field | None = None
    """Only the methods of this field."""
    json: bool = False
    """Print JSON: a list of {"name", "summary", "file"}, for methods also {"verb", "field", "page"}; for runs, their
    figures."""


def main(argv: Sequence[str]) -> int:
    _refuse_name_of_entry(argv)
    config = parse(Config, argv, prog="mulde list", description=__doc__ or "")
    if config.field is not None and config.kind != "methods":
        raise UsageError(f"mulde list {config.kind}: only methods have a field; leave out --field")
    if config.kind == "runs":
        return _runs(Path(config.name or "runs"), config.json)
    rows = _methods() if config.kind == "methods" else _named(config.kind)
    if config.name:
        wanted = catalogue.path_of(config.kind, config.name)
        rows = [row for row in rows if catalogue.entries(config.kind)[row["name"]] == wanted]
        return show(rows, "\n".join(f"{key}: {value}" for key, value in rows[0].items()), config.json)
    rows = [row for row in rows if config.field in (None, row.get("field"))]
    columns = [column for column in ("name", "verb", "field") if all(column in row for row in rows)]
    widths = {column: max((len(row[column]) for row in rows), default=0) for column in columns}
    lines = ["  ".join([*(f"{row[each]:{widths[each]}}" for each in columns), row["summary"]]) for row in rows]
    return show(rows, "\n".join(lines), config.json)


def _named(kind: catalogue.Kind) -> list[dict[str, str]]:
    paths = catalogue.entries(kind)
    return [
        {"name": name, "summary": summary, "file": catalogue.place_of(paths[name])}
        for name, summary in catalogue.names(kind)
    ]


def _methods() -> list[dict[str, str]]:
    """The methods with their verbs, fields and pages."""
    verbs, fields = catalogue.verbs_of_methods(), catalogue.fields_of_methods()
    rows = [(row["name"], row) for row in _named("methods")]
    return [{**row, "verb": verbs[name], "field": fields[name], "page": catalogue.page_of(name)} for name, row in rows]


def _refuse_name_of_entry(argv: Sequence[str]) -> None:
    """Raises UsageError where the first word is an entry and not a list."""
    for kind in get_args(catalogue.Kind):
        if argv and spelled_as(argv[0], catalogue.entries(kind)):
            raise UsageError(f'"{argv[0]}" is one of the {kind}; write `mulde list {kind} {argv[0]}`')


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
