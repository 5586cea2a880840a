"""Comparison on few pictures per class: a tuned baseline, separate pictures for the search, balanced accuracy.

The protocol is that of Brigato, Barz, Iocchi, Denzler, "Image Classification with Small Datasets: Overview and
Benchmark", IEEE Access 2022, arXiv 2212.12478, on a grid in place of successive halving. For each of three splits the
final test part is set aside first. Learning rate and weight decay are searched on the rest, with as many trials for the
baseline as for the method. Then both are trained on all of the rest with several seeds and evaluated on the test part.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from mulde.engine.protocol import Trained
from mulde.errors import UsageError
from mulde.metrics.classification import accuracy, balanced_accuracy
from mulde.vision.ablation import statistics
from mulde.vision.ablation.search import Grid, Trial, best, search, tuned
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet
from mulde.vision.data.loading import load
from mulde.vision.data.splitting import split, with_test_part
from mulde.vision.training.evaluation import predicted_classes
from mulde.vision.training.run import task_of

SPLITS, FEWEST, SEARCH_SEED = 3, 5, 99
"""Splits that the seeds take in turn, fewest pictures of a class, and seed of the trials."""
RATE, DECAY = "training.optimizer.lr", "training.optimizer.weight_decay"


def protocol(method: ModuleType, study: Study, data: str) -> Study:
    """A study under this protocol on a user's pictures.

    Raises
    ------
    UsageError
        If the method does not train a classifier, or a class has fewer than five pictures.
    """
    if task_of(method) != "classify":
        raise UsageError("--small-data compares classifiers of pictures; choose a method that trains one")
    images = load(data)
    counts = images.counts()
    if int(counts.min()) < FEWEST:
        name = images.classes[int(counts.argmin())]
        raise UsageError(
            f"{data}: {name} has {int(counts.min())} pictures; --small-data needs {FEWEST} or more of every class, to "
            "divide them into training, search and test"
        )
    return replace(
        study, data=data, read=load, metric="balanced_accuracy", second_metric="accuracy", evaluate=metrics,
        train=None, test=None, valid=False, label_noise=0.0, imbalance=1.0,
        notes=f"{SPLITS} splits, the test part set aside before the search; the baseline is tuned with as many trials "
        "as the method",
    )  # fmt: skip


def metrics(config: Any, data: Any, trained: Trained) -> dict[str, float]:
    """Mean recall of the classes, and accuracy, on the test part."""
    predicted, labels = (x.numpy() for x in (predicted_classes(trained.student, data.test), data.test.labels))
    return {
        "balanced_accuracy": balanced_accuracy(predicted, labels, data.classes),
        "accuracy": accuracy(predicted, labels),
    }


def grid(config: Any) -> Grid:
    """Six points around a configuration: three learning rates, two weight decays."""
    optimizer = config.training.optimizer
    decay = optimizer.weight_decay
    return {
        RATE: tuple(factor * optimizer.lr for factor in (0.25, 1.0, 4.0)),
        DECAY: (decay, 10 * decay) if decay else (0.0, 1e-3),
    }


def runs(
    method: ModuleType,
    study: Study,
    seeds: Sequence[int],
    variants: Sequence[str],
    *,
    folder: Path | None = None,
    device: str = "cpu",
    networks: Callable[[Any, Any], Mapping[str, Any]] | None = None,
    trials: list[Trial],
) -> Iterator[statistics.Row]:
    """Metrics of every seed and variant, as they are computed; arguments as for `statistics.runs`.

    Parameters
    ----------
    trials
        Receives the trials of the search, with the number of their split.
    """
    images = study.read(study.data)
    for number in range(min(SPLITS, len(seeds))):
        whole = with_test_part(images, number)
        place = folder and folder / f"split-{number}"
        rest = replace(whole[torch.tensor([part == "train" for part in whole.parts])], parts=())
        grids = {variant: grid(study.variant(variant)) for variant in ("baseline", "method")}
        searched = split(rest, SEARCH_SEED, valid=False).standardised()
        found = list(
            search(
                method, study, grids, searched, place and place / "search",
                seed=SEARCH_SEED, device=device, networks=networks,
            )
        )  # fmt: skip
        trials += [{"split": number, **trial} for trial in found]
        final = replace(tuned(study, found), read=functools.partial(_given, whole))
        for row in statistics.runs(
            method, final, seeds[number::SPLITS], variants, folder=place, device=device, networks=networks
        ):
            yield {"split": number, **row}


def _given(images: ImageSet, spec: str) -> ImageSet:
    return images


def described(study: Study, seeds: Sequence[int]) -> str:
    """Data, split and length in one line."""
    return (
        f"data {study.data}: a quarter of the pictures, or the official test part, for the final test; "
        f"{study.config.training.epochs} epochs; seeds {', '.join(map(str, seeds))}"
    )


def chosen(trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """The best trial of each split and variant as rows of a table."""
    rows = []
    for number in dict.fromkeys(trial["split"] for trial in trials):
        for variant, trial in best([each for each in trials if each["split"] == number], metric).items():
            settings = {name.rpartition(".")[2].replace("_", " "): value for name, value in trial["settings"].items()}
            rows.append({"split": number, "variant": variant, **settings, "in the search": trial["metrics"][metric]})
    return rows
