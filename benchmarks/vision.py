"""All verifications of vision methods in one table: results/vision/*/results.json -> results/vision/summary.md.

    python benchmarks/vision.py [FOLDER]          (or: make results, which also puts it into README.md)

Plots are drawn anew from the same files, where matplotlib is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mulde.files import write_atomically
from mulde.report import table

FOLDER = Path(__file__).resolve().parent.parent / "results/vision"
KNOWN = {"arm", "seeds", "sd", "difference", "from", "to", "wins"}
"""Columns of a summary; the one besides is the metric."""


def metric_of(result: dict[str, Any]) -> str:
    """The metric that a result compares."""
    return next(column for column in result["summary"][0] if column not in KNOWN)


def line(result: dict[str, Any]) -> dict[str, Any]:
    """A verification in a line; differences are from the baseline, with their paired 95 % interval."""
    metric, arms = metric_of(result), {row["arm"]: row for row in result["summary"]}
    base, method = arms["baseline"], arms["method"]
    return {
        "method": result["method"],
        "data": result["data"].partition(":")[0].removeprefix("data "),
        "metric": metric.replace("_", " "),
        "baseline": f"{base[metric]:.3f} ± {base['sd']:.3f}",
        "with the method": f"{method[metric]:.3f} ± {method['sd']:.3f}",
        "difference [95 %]": f"{method['difference']:+.3f} [{method['from']:+.3f}, {method['to']:+.3f}]",
        "term at zero": _difference(arms.get("term at zero")),
        "sabotage": _difference(arms.get("sabotage")),
        "seeds": ", ".join(str(seed) for seed in dict.fromkeys(row["seed"] for row in result["runs"])),
        "effect": "not shown" if method["from"] <= 0 <= method["to"] else "above" if method["from"] > 0 else "BELOW",
    }


def _difference(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['difference']:+.3f}"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/results.json"))]
    text = table([line(result) for result in results], markdown=True) if results else "(none recorded)"
    write_atomically(folder / "summary.md", (text + "\n").encode())
    try:
        from mulde.vision.plot import plot_arms
    except ImportError:
        return
    for result in results:
        plot = plot_arms(result["runs"], metric_of(result), result["claim"], result["data"])
        write_atomically(folder / result["method"] / "plot.png", plot)


if __name__ == "__main__":
    main()
