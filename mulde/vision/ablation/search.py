"""Search of settings before an ablation study, with as many trials for the baseline as for the method."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from mulde.errors import UsageError
from mulde.vision.ablation.study import Study
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session

Grid = Mapping[str, Sequence[Any]]
"""Values by field of a configuration, such as ``training.optimizer.lr``; all combinations are tried."""
Trial = dict[str, Any]
"""One trial: its variant, settings and metrics."""


def search(
    method: ModuleType,
    study: Study,
    grids: Mapping[str, Grid],
    data: Any,
    folder: Path | None,
    *,
    seed: int,
    shared_stages: bool = False,
    device: str = "cpu",
    networks: Callable[[Any, Any], Mapping[str, Any]] | None = None,
) -> Iterator[Trial]:
    """Trials of every variant that is searched, as they are computed.

    Parameters
    ----------
    method
        The module of a method file.
    study
        The comparison; its metric is searched.
    grids
        What is searched for each variant.
    data
        A split whose test part evaluates the trials; no picture of the final test may be in it.
    folder
        Folder of the fits, so that the same call continues; None writes nothing.
    seed
        Seed of the trainings.
    shared_stages
        Whether nothing that is searched changes the stages that variants share, so that trials share them, too.
    device, networks
        As for `mulde.vision.ablation.statistics.runs`.

    Raises
    ------
    UsageError
        Where one variant has more trials than another.
    """
    trials = {variant: points(grid) for variant, grid in grids.items()}
    if len(counts := {len(each) for each in trials.values()}) > 1:
        raise UsageError(
            f"a search has as many trials for every variant; got {', '.join(map(str, sorted(counts)))}; give each as "
            "many points"
        )
    for variant, grid in trials.items():
        for number, point in enumerate(grid):
            config = changed(study.variant(variant), point)
            place = folder and folder / variant.replace(" ", "-") / str(number)
            session = Session(seed, place, folder / "common" if folder and shared_stages else None, device)
            trained = run_method(method, config, data, session, networks(config, data) if networks else None)
            value = study.evaluate(config, data, trained)[study.metric]
            yield {"variant": variant, "number": number, "settings": point, "metrics": {study.metric: value}}


def best(trials: Sequence[Trial], metric: str) -> dict[str, Trial]:
    """The best trial of each variant; of equal ones the first."""
    found: dict[str, Trial] = {}
    for trial in trials:
        variant = trial["variant"]
        if variant not in found or trial["metrics"][metric] > found[variant]["metrics"][metric]:
            found[variant] = trial
    return found


def tuned(study: Study, trials: Sequence[Trial]) -> Study:
    """The study whose variants have the settings of their best trials.

    A variant without trials has those of the method, and `longer` those of the baseline, except what it changes itself.
    """
    chosen = {variant: trial["settings"] for variant, trial in best(trials, study.metric).items()}
    variants = {}
    for variant, changes in study.variants.items():
        others = chosen.get("baseline" if variant == "longer" else "method", {})
        point = chosen.get(variant, {name: value for name, value in others.items() if name not in changes})
        config = changed(study.variant(variant), point)
        variants[variant] = {**changes, **{(name := key.partition(".")[0]): getattr(config, name) for key in point}}
    return replace(study, variants=variants)


def points(grid: Grid) -> list[dict[str, Any]]:
    """All combinations of the values of a grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def changed(config: Any, values: Mapping[str, Any]) -> Any:
    """A configuration with other values of fields, which are named like ``training.optimizer.lr``."""
    for name, value in values.items():
        field, _, rest = name.partition(".")
        config = replace(config, **{field: changed(getattr(config, field), {rest: value}) if rest else value})
    return config
