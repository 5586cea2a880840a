"""The table of several studies: a row for each, with the difference of the method from its baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mulde.engine.provenance import environment
from mulde.files import make_folder, utf8, write_atomically
from mulde.report.tables import table
from mulde.vision.ablation.statistics import direction

Row = dict[str, Any]
WRITTEN = ("results.json", "table.md")
"""Files of `write`."""


def row(result: Mapping[str, Any]) -> Row:
    """One study, from what `mulde.vision.ablation.results.result_of` knows of it.

    ``difference``, ``from`` and ``to`` are the mean paired difference from the baseline and its 95 % interval; ``cost``
    is the number of forward passes relative to the baseline.
    """
    lines = {line["variant"]: line for line in result["summary"]}
    method, metric = lines.get("method", {}), result["metric"]
    return {
        "method": result["method"],
        "field": result["field"],
        "metric": metric,
        "baseline": lines.get("baseline", {}).get(metric),
        "with the method": method.get(metric),
        **{name: method.get(name) for name in ("difference", "from", "to")},
        "verdict": direction(method),
        "cost": method.get("cost"),
        "minutes": round(result["seconds"] / 60, 2),
    }


def failed(method: str, field: str, verdict: str, error: str) -> Row:
    """A study without a result.

    Parameters
    ----------
    verdict
        "failed", or "left out" where a package is not installed.
    error
        The reason in a sentence.
    """
    return {"method": method, "field": field, "verdict": verdict, "error": error}


def text(rows: Sequence[Row], markdown: bool = False) -> str:
    """The table, and a line for each study without a result."""
    errors = [f"{it['method']} {it['verdict']}: {it['error']}" for it in rows if "error" in it]
    return "\n\n".join([table([_cells(it) for it in rows], markdown), *errors])


def write(folder: Path, rows: Sequence[Row], command: str) -> None:
    """Write results.json and table.md."""
    make_folder(folder)
    result = {"command": command, "studies": list(rows), "environment": environment()}
    write_atomically(folder / "results.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomically(folder / "table.md", utf8(f"`{command}`\n\n{text(rows, markdown=True)}\n"))


def _cells(it: Row) -> Row:
    """A row as the table shows it, with difference and interval in one cell."""
    difference = it.get("difference")
    if difference is None:
        shown = None
    elif it["from"] is None:
        shown = f"{difference:+.3f}"
    else:
        shown = f"{difference:+.3f} [{it['from']:+.3f}, {it['to']:+.3f}]"
    cost, minutes = it.get("cost"), it.get("minutes")
    return {
        "method": it["method"], "field": it["field"], "metric": str(it.get("metric", "-")).replace("_", " "),
        "baseline": it.get("baseline"), "with the method": it.get("with the method"),
        "difference [95 % interval]": shown, "verdict": it["verdict"],
        "cost": None if cost is None else f"{cost:.1f}", "minutes": None if minutes is None else f"{minutes:.1f}",
    }  # fmt: skip
