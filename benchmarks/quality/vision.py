"""All verifications of vision methods in one table: results/vision/*/results.json -> results/vision/summary.md.

    python benchmarks/vision.py [FOLDER]          (or: make results, which also puts it into README.md)

Plots are drawn anew from the same files, where matplotlib is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mulde.files import write_atomically
from mulde.report.tables import table
from mulde.vision.ablation.statistics import half_interval

FOLDER = Path(__file__).resolve().parent.parent / "results/vision"
KNOWN = {"arm", "seeds", "sd", "difference", "from", "to", "wins"}
"""Columns of a summary; the one besides is the metric."""


def metric_of(result: dict[str, Any]) -> str:
    """The metric that a result compares."""
    return next(column for column in result["summary"][0] if column not in KNOWN)


def line(result: dict[str, Any]) -> dict[str, Any]:
    """A verification in a line: the baseline, and paired differences of the method with their 95 % intervals."""
    metric, arms = metric_of(result), {row["arm"]: row for row in result["summary"]}
    base, method = arms["baseline"], arms["method"]
    return {
        "method": result["method"],
        "data": result["data"].partition(":")[0].removeprefix("data "),
        "metric": metric.replace("_", " "),
        "baseline": _value(base, metric),
        "with the method": _value(method, metric),
        "over baseline [95 %]": _over(result, "baseline"),
        "over term at zero": _over(result, "term at zero"),
        "over sabotage": _over(result, "sabotage"),
        "seeds": method["seeds"],
    }


def _value(row: dict[str, Any], metric: str) -> str:
    """Mean and standard deviation, which a single seed does not have."""
    return f"{row[metric]:.3f}" + ("" if row["sd"] is None else f" ± {row['sd']:.3f}")


def _over(result: dict[str, Any], arm: str) -> str:
    """Mean paired difference of the method from another arm, with its interval."""
    metric, by_arm = metric_of(result), {}
    for row in result["runs"]:
        by_arm.setdefault(row["arm"], {})[row["seed"]] = row[metric]
    other = by_arm.get(arm, {})
    paired = np.array([value - other[seed] for seed, value in by_arm["method"].items() if seed in other])
    if not len(paired):
        return "-"
    middle, margin = paired.mean(), half_interval(paired)
    return f"{middle:+.3f} [{middle - margin:+.3f}, {middle + margin:+.3f}]"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/results.json"))]
    text = table([line(result) for result in results], markdown=True) if results else "(none recorded)"
    write_atomically(folder / "summary.md", (text + "\n").encode())
    try:
        from mulde.vision.ablation.plot import plot_arms
    except ImportError:
        return
    for result in results:
        plot = plot_arms(result["runs"], metric_of(result), result["claim"], result["data"])
        write_atomically(folder / result["method"] / "plot.png", plot)


if __name__ == "__main__":
    main()
