"""Is a method worth its name? Runs the arms of its case with paired seeds and weighs the differences.

An arm is compared with the baseline seed by seed: both begin with the same weights and see the same images
in the same order, so what remains is the effect, and its uncertainty is that of the paired differences.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy import stats

from mulde.vision.ablation.study import Verification
from mulde.vision.training.session import Session

Row = dict[str, Any]
"""One run: seed, arm, and its metrics."""


def runs(
    method: ModuleType,
    case: Verification,
    seeds: Sequence[int],
    arms: Sequence[str],
    *,
    data: str | None = None,
    folder: Path | None = None,
    device: str = "cpu",
) -> Iterator[Row]:
    """The outcome of every seed and arm, as it comes.

    method: the file of a method. data: other images than the case's. folder: keeps the fits of unfinished
    runs, so that the same call continues. Arms with equal configurations are computed once.
    """
    for seed in seeds:
        split = case.split(seed, data)
        known: dict[str, dict[str, float]] = {}
        for arm in arms:
            config = case.arm(arm)
            if repr(config) not in known:
                place, common = (
                    None if folder is None else folder / f"seed-{seed}" / name
                    for name in (arm.replace(" ", "-"), "common")
                )
                known[repr(config)] = method.run(config, split, Session(seed, place, common, device))
            yield {"seed": seed, "arm": arm, **known[repr(config)]}


def summary(rows: Sequence[Row], metric: str) -> list[Row]:
    """Per arm: mean and standard deviation over seeds, and the paired difference from the baseline.

    The interval holds 95 % under Student's t with seeds - 1 degrees of freedom; a single seed has none. wins: seeds
    above the baseline.
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        found.setdefault(row["arm"], {})[row["seed"]] = row[metric]
    base = found.get("baseline", {})
    table = []
    for arm, by_seed in found.items():
        values = np.array(list(by_seed.values()))
        line: Row = {"arm": arm, "seeds": len(values), metric: float(values.mean()), "sd": _deviation(values)}
        paired = np.array([value - base[seed] for seed, value in by_seed.items() if seed in base])
        if arm != "baseline" and len(paired):
            middle, margin = float(paired.mean()), half_interval(paired)
            line |= {
                "difference": middle,
                "from": middle - margin if math.isfinite(margin) else None,
                "to": middle + margin if math.isfinite(margin) else None,
                "wins": f"{int((paired > 0).sum())}/{len(paired)}",
            }
        table.append(line)
    return table


def half_interval(differences: np.typing.NDArray[np.float64]) -> float:
    """Half the width of the 95 % interval of a mean; infinite for a single value."""
    count, deviation = len(differences), _deviation(differences)
    if deviation is None:
        return math.inf
    return float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)


def verdict(lines: Sequence[Row]) -> str:
    """What the differences say, in a sentence."""
    by_arm = {line["arm"]: line for line in lines}
    if "method" not in by_arm or "difference" not in by_arm["method"]:
        return "nothing to compare: the arms baseline and method are both needed"
    method = by_arm["method"]
    if method["from"] is None:
        return "no effect shown: a single seed does not tell how uncertain its difference is"
    if method["from"] > 0:
        text = "the method is above its baseline"
    elif method["to"] < 0:
        text = "the method is BELOW its baseline"
    else:
        text = "no effect shown: the interval of the difference holds zero"
    if "sabotage" in by_arm and method["from"] > 0:
        kept = by_arm["sabotage"]["difference"] / method["difference"]
        text += f"; sabotage keeps {f'{100 * kept:.0f} %' if kept > 0 else 'nothing'} of the gain"
    return text


def plain(case: Verification, arms: Sequence[str]) -> dict[str, Any]:
    """The configurations of the arms as plain values, for a file."""
    return {arm: dataclasses.asdict(case.arm(arm)) for arm in arms}


def _deviation(values: np.typing.NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None
