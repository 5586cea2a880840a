"""Evaluate a student on labelled images.

Examples:
    mulde evaluate runs/small                             the test part of its training data
    mulde evaluate runs/small --data folder:photos        other images, all of them
    mulde evaluate runs/own --network my_models.py:small  a network of your own
    mulde evaluate runs/small --flatness                  also the curvature of the loss
    mulde evaluate runs/small --other runs/large          also the agreement with another classifier
    mulde evaluate runs/small --outside folder:others     also how well pictures of other classes are detected
    mulde evaluate suspect.mulde --data folder:photos --watermark key.txt
    mulde evaluate runs/small --data folder:others --episodes 5way5shot

Classes: accuracy, balanced accuracy, expected calibration error, recall of every class and the confusion of classes.
Boxes: average precision as COCO defines it. Masks: intersection over union. Embeddings: a linear probe and nearest
neighbours. Images are brought to the size of the training. Networks with exits: also the accuracy of every exit, and
accuracy and speed of early exit, one picture at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde.cli._output import show
from mulde.cli._skip_broken import advising_skip_broken
from mulde.cli._watermark import watermark_line
from mulde.cli.images._student import outputs
from mulde.config import Count, Threads
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError
from mulde.report.tables import table
from mulde.vision.inference.parts import Part
from mulde.vision.pictures.wording import counted

if TYPE_CHECKING:
    from mulde.vision.inference.answers import Outputs
    from mulde.vision.inference.labelled import Labelled

FIRST = (
    "model", "data", "split", "episodes", "watermark", "flatness", "other", "outside", "details", "skip_broken",
    "network", "device", "threads", "json",
)  # fmt: skip
SMALL = 12  # classes of which the confusion is shown without --details


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: Positional[Path]
    """Run folder or bundle of an image method, or ONNX bundle."""
    data: str | None = None
    """Labelled images, as for the training: folder:PATH, coco:PATH ...; by default those of the training."""
    split: Part | None = None
    """Part of the data: test, valid, train or all. Default: the test part, where the data have parts or are those of
    the training; otherwise all."""
    flatness: bool = False
    """Also measure how flat the loss is around the weights of a classifier, on at most 128 images: trace and largest
    eigenvalue of the Hessian, and the increase of the loss within a radius."""
    other: Path | None = None
    """Another classifier of the same classes, run folder or bundle: how often both predict the same class, the KL
    divergence between their probabilities, and who is right."""
    outside: str | None = None
    """Images of other classes than the training's, folder:PATH ...: how well the largest probability and the energy of
    the logits tell them from the data (AUROC)."""
    watermark: Path | None = None
    """File with a key: also tell whether the probabilities have its watermark, with the probability that a model
    without it looks so."""
    episodes: str | None = None
    """Few-shot evaluation instead, for example 5way5shot: a new classifier on the features of the student for every
    task of 5 classes with 5 labelled images each. The classes need not be those of the student."""
    episode_count: Count = 600
    """Number of tasks, the same for every student."""
    episode_queries: Count = 15
    """Images of each class that are classified in a task."""
    support_views: Count = 1
    """Versions of each labelled image: itself, and others that are moved and mirrored; 5 in RFS."""
    normalise_features: bool = True
    """Scale features to length 1."""
    details: bool = False
    """Also show every class, and the confusion of many."""
    skip_broken: bool = False
    """Leave out pictures that cannot be read."""
    network: str | None = None
    """The network, if it is one of your own: file.py:function or module:function."""
    threads: Threads | None = None
    """Processor threads; by default all."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde evaluate", __doc__ or "", first=FIRST)
    from mulde.vision.storage.description import describe

    if settings.episodes is not None:
        return _few_shots(settings)
    description = describe(settings.model)
    with outputs(settings.model, settings.network, settings.device, settings.threads) as model:
        from mulde.vision.inference.evaluation import evaluate
        from mulde.vision.inference.labelled import labelled

        with advising_skip_broken():
            data = labelled(model, description, settings.data, settings.split, skip_broken=settings.skip_broken)
        found = evaluate(model, data)
        if settings.flatness:
            from mulde.vision.inference.curvature import flatness_of

            found["flatness"] = flatness_of(model, data.images)
        if settings.other is not None:
            found["agreement"] = _agreement(settings, model, description, data)
        if settings.outside is not None:
            from mulde.vision.inference.comparison import expect_classifier, outside_rows
            from mulde.vision.inference.labelled import in_form

            expect_classifier(model, "--outside")
            with advising_skip_broken():
                images = in_form(model, settings.outside, skip_broken=settings.skip_broken, option="--outside")
            found["outside"] = outside_rows(model, data.images, images)
        if settings.watermark is not None:
            from mulde.vision.inference.watermark import watermark_of

            found["watermark"] = watermark_of(model, data.images, settings.watermark)
    source = settings.data or description["data"]["source"]
    result = {"data": source, "split": data.part, **found, "classes": list(model.classes)}
    return show(result, "\n".join(_lines(result, settings.details)), settings.json)


def _agreement(settings: Config, model: Outputs, description: Mapping[str, Any], data: Labelled) -> dict[str, float]:
    """Agreement with the other classifier on the same images, in the form of its input."""
    from mulde.vision.inference.comparison import agreement_of, expect_classifier
    from mulde.vision.inference.labelled import labelled

    with outputs(settings.other, None, settings.device, settings.threads) as other:  # type: ignore[arg-type]
        for each in (model, other):
            expect_classifier(each, "--other")
        theirs = labelled(other, description, settings.data, settings.split, skip_broken=settings.skip_broken)
        return agreement_of(model, data.images, other, theirs.images)


def _few_shots(settings: Config) -> int:
    from mulde.vision.data.episodes import EpisodeShape
    from mulde.vision.storage.description import describe

    if settings.flatness or settings.watermark is not None:
        raise UsageError("--episodes is an evaluation of its own; leave out --flatness and --watermark")
    shape = replace(EpisodeShape.parse(str(settings.episodes)), queries=settings.episode_queries)
    description = describe(settings.model)
    with outputs(settings.model, settings.network, settings.device, settings.threads) as model:
        from mulde.vision.inference.episodes import episode_rows
        from mulde.vision.inference.labelled import labelled

        with advising_skip_broken():
            data = labelled(
                model, description, settings.data, settings.split or (None if settings.data is None else "all"),
                skip_broken=settings.skip_broken, own_classes=True,
            )  # fmt: skip
        rows = episode_rows(
            model, data.images, shape, settings.episode_count,
            support_views=settings.support_views, normalise=settings.normalise_features,
        )  # fmt: skip
    source = settings.data or description["data"]["source"]
    result = {
        "data": source, "split": data.part, "episodes": str(shape), "queries": shape.queries,
        "episode_count": settings.episode_count, "support_views": settings.support_views,
        "normalise_features": settings.normalise_features, "heads": rows,
    }  # fmt: skip
    lengths = "scaled to length 1" if settings.normalise_features else "as they are"
    head = (
        f"{source}: {settings.episode_count:,} episodes of {shape}, {shape.queries} queries per class; features "
        f"{lengths}; {counted(settings.support_views, 'view')} of each labelled image"
    )
    return show(result, f"{head}\n{table(rows)}", settings.json)


def _lines(result: Mapping[str, Any], details: bool) -> list[str]:
    part = "" if result["split"] == "all" else f", {result['split']} part"
    metrics = {name.replace("_", " "): value for name, value in result.items() if isinstance(value, float)}
    lines = [f"{result['data']}{part}: {counted(result['images'], 'image')}", table([metrics])]
    if "exits" in result:
        lines += ["", table([result["exits"]])]
    if result.get("early_exit"):
        lines += [
            "",
            "early exit where the largest probability is at least the confidence",
            table(result["early_exit"]),
        ]
    if "flatness" in result:
        lines += ["", "flatness of the cross entropy, and at the temperature that fits", table(result["flatness"])]
    if "agreement" in result:
        lines += ["", "agreement with the other classifier", table([result["agreement"]])]
    if "outside" in result:
        lines += ["", "detection of pictures of other classes", table(result["outside"])]
    if "watermark" in result:
        lines += ["", watermark_line(result["watermark"])]
    few = len(result["classes"]) <= SMALL
    if "by_class" in result and (few or details):
        lines += ["", table([{"class": name, **values} for name, values in result["by_class"].items()])]
    if "confusion" in result and (few or details):
        lines += ["", "rows: the true class, columns: the predicted class", table(confusion_rows(result))]
    return lines


def confusion_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The confusion matrix as rows with the names of the classes."""
    classes = result["classes"]
    return [
        {"true": name, **dict(zip(classes, counts, strict=True))}
        for name, counts in zip(classes, result["confusion"], strict=True)
    ]
