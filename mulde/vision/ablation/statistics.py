"""Runs of an ablation study with paired seeds, and statistics of their differences.

A variant is compared with the baseline seed by seed. Both have the same initial weights and the same order of images,
so the paired differences measure the effect and its uncertainty.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from mulde.vision.ablation.study import Study
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session

Row = dict[str, Any]
"""One run: seed, variant, and its metrics."""
Direction = Literal["above", "below", "no significant difference", "one seed", "not compared"]
SENTENCES: dict[Direction, str] = {
    "above": "the method is above its baseline",
    "below": "the method is BELOW its baseline",
    "no significant difference": "no significant difference: the 95 % confidence interval includes zero",
    "one seed": "no effect shown: the uncertainty of a difference needs more than one seed",
    "not compared": "nothing to compare: the variants baseline and method are both needed",
}


def runs(
    method: ModuleType,
    study: Study,
    seeds: Sequence[int],
    variants: Sequence[str],
    *,
    data: str | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    networks: Callable[[Any, Any], Mapping[str, Any]] | None = None,
) -> Iterator[Row]:
    """Metrics of every seed and variant, as they are computed. Variants with equal configurations are run once.

    ``forwards`` is the number of images that passed through the most used network, summed over all trainings of the
    variant, also those that variants share.

    Parameters
    ----------
    method
        The module of a method file.
    study
        The comparison, usually the file's `STUDY`.
    seeds
        Seeds of data, initial weights and training.
    variants
        Names of variants.
    data
        Other data than the study's, as after --data.
    folder
        Folder of the fits, so that the same call continues; None writes nothing.
    device
        Device of the computation.
    networks
        Networks by role that the method does not make itself, from a configuration and the data; None: there are none.
    """
    for seed in seeds:
        split = study.split(seed, data)
        known: dict[str, dict[str, float]] = {}
        for variant in variants:
            config = study.variant(variant)
            if repr(config) not in known:
                own, common = (
                    None if folder is None else folder / f"seed-{seed}" / name
                    for name in (variant.replace(" ", "-"), "common")
                )
                given = networks(config, split) if networks else None
                session = Session(seed, own, common, device)
                trained = run_method(method, config, split, session, given)
                known[repr(config)] = {**study.evaluate(config, split, trained), "forwards": sum(session.forwards)}
            yield {"seed": seed, "variant": variant, **known[repr(config)]}


def summary(rows: Sequence[Row], metric: str) -> list[Row]:
    """Mean and standard deviation over seeds for each variant, and the paired difference from the baseline.

    from, to: 95 % confidence interval under Student's t with seeds - 1 degrees of freedom; None for a single seed.
    wins: number of seeds above the baseline. cost: the mean of ``forwards``, relative to the baseline.
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        found.setdefault(row["variant"], {})[row["seed"]] = row[metric]
    base = found.get("baseline", {})
    table = []
    for variant, by_seed in found.items():
        values = np.array(list(by_seed.values()))
        line: Row = {"variant": variant, "seeds": len(values), metric: float(values.mean()), "sd": _deviation(values)}
        paired = np.array([value - base[seed] for seed, value in by_seed.items() if seed in base])
        if variant != "baseline" and len(paired):
            middle, margin = float(paired.mean()), half_interval(paired)
            line |= {
                "difference": middle,
                "from": middle - margin if math.isfinite(margin) else None,
                "to": middle + margin if math.isfinite(margin) else None,
                "wins": f"{int((paired > 0).sum())}/{len(paired)}",
            }
        if (cost := _forwards(rows, variant)) and (of_baseline := _forwards(rows, "baseline")):
            line["cost"] = round(cost / of_baseline, 2)
        table.append(line)
    return table


def _forwards(rows: Sequence[Row], variant: str) -> float:
    """Mean ``forwards`` of a variant; 0 where they are not known."""
    found = [row.get("forwards", 0) for row in rows if row["variant"] == variant]
    return sum(found) / len(found) if found else 0


def half_interval(differences: np.typing.NDArray[np.float64]) -> float:
    """Half the width of the 95 % confidence interval of a mean; infinite for a single value."""
    from scipy import stats  # slow to import

    count, deviation = len(differences), _deviation(differences)
    if deviation is None:
        return math.inf
    return float(stats.t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)


def direction(method: Row) -> Direction:
    """Where the interval of the method's difference from the baseline is; `method` is its line of a summary."""
    if "difference" not in method:
        return "not compared"
    if method["from"] is None:
        return "one seed"
    return "above" if method["from"] > 0 else "below" if method["to"] < 0 else "no significant difference"


def verdict(lines: Sequence[Row]) -> str:
    """The result of a summary in one sentence."""
    by_variant = {line["variant"]: line for line in lines}
    method = by_variant.get("method", {})
    text = SENTENCES[direction(method)]
    if "control" in by_variant and direction(method) == "above":
        kept = by_variant["control"]["difference"] / method["difference"]
        text += f"; the control keeps {f'{100 * kept:.0f} %' if kept > 0 else 'nothing'} of the gain"
    return text


def configurations(study: Study, variants: Sequence[str]) -> dict[str, Any]:
    """The configurations of variants as plain values, for a file."""
    return {variant: dataclasses.asdict(study.variant(variant)) for variant in variants}


def _deviation(values: np.typing.NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None
