"""Metrics of a student on labelled images, by its task.

classify    accuracy, balanced accuracy, expected calibration error, confusion of classes
detect      COCO's ap, ap50, ap75
segment     mean IoU of the classes without the background, and IoU of every class
embed       accuracy of a linear probe and of the nearest neighbours, on features of the training part
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mulde.errors import UsageError
from mulde.metrics.binary import expected_calibration_error
from mulde.metrics.classification import accuracy, balanced_accuracy, confusion, per_class
from mulde.metrics.detection import Objects, coco_metrics
from mulde.metrics.segmentation import UNKNOWN, iou_of_counts
from mulde.vision.inference.answers import BATCH, Outputs, softmax
from mulde.vision.inference.exits import early_exit_rows
from mulde.vision.inference.labelled import Labelled
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.models.exits import ExitNetwork
from mulde.vision.training.evaluation import exit_metrics, linear_probe

NEIGHBOURS = 5
MAIN = {"classify": "accuracy", "detect": "ap", "segment": "mean_iou", "embed": "probe_accuracy"}
"""The first metric of each task."""


def evaluate(model: Outputs, data: Labelled) -> dict[str, Any]:
    """Metrics of a student on a part of a data set.

    Parameters
    ----------
    model
        The student, by torch or by ONNX Runtime.
    data
        The images, in the form of its input, and the training part for embeddings.

    Returns
    -------
    ``images`` (their number), the metrics of the task, and for classes ``by_class`` and ``confusion``. Of a network
    with exits also ``exits``, the accuracy of each, and ``early_exit``, see `early_exit_rows`.
    """
    by_task = {"classify": _classification, "detect": _detection, "segment": _segmentation, "embed": _embedding}
    found = {"images": len(data.images), **by_task[model.task](model, data)}
    network = model.model.network if isinstance(model, TorchOutputs) else None
    if isinstance(network, ExitNetwork):
        found["exits"] = exit_metrics(network, data.images)
        found["early_exit"] = early_exit_rows(network, data.images)
    return found


def outputs_of(model: Outputs, images: Any) -> Iterator[tuple[Tensor, list[NDArray[Any]]]]:
    """Rows (b,) of the images, and outputs for them."""
    for rows in torch.arange(len(images)).split(1 if model.task == "segment" else BATCH):
        yield rows, model.compute(images.pixels(rows).numpy())


def logits_of(model: Outputs, images: Any) -> NDArray[Any]:
    """Logits (n, k) of all images, or features (n, d) of embeddings."""
    return np.concatenate([found[0] for _, found in outputs_of(model, images)])


def _classification(model: Outputs, data: Labelled) -> dict[str, Any]:
    logits, labels, count = logits_of(model, data.images), data.images.labels.numpy(), len(model.classes)
    if logits.shape[1] != count:
        raise UsageError(f"expected logits of {count} classes, found {logits.shape[1]}; the network is another one")
    predicted = logits.argmax(1)
    recall, images = per_class(predicted, labels, count), np.bincount(labels, minlength=count)
    return {
        "accuracy": accuracy(predicted, labels),
        "balanced_accuracy": balanced_accuracy(predicted, labels, count),
        "ece": expected_calibration_error(softmax(logits).max(1), predicted == labels),
        "by_class": {
            name: {"images": int(images[i]), "recall": _known(recall[i])} for i, name in enumerate(model.classes)
        },
        "confusion": confusion(predicted, labels, count).tolist(),
    }


def _detection(model: Outputs, data: Labelled) -> dict[str, Any]:
    found = [
        _objects(*image)
        for _, (boxes, scores, labels) in outputs_of(model, data.images)
        for image in zip(boxes, labels, scores, strict=True)
    ]
    images = data.images
    true = [_objects(*image) for image in zip(images.boxes.numpy(), images.labels.numpy(), strict=True)]
    return coco_metrics(found, true, len(model.classes))


def _segmentation(model: Outputs, data: Labelled) -> dict[str, Any]:
    """Counts of all pixels together, so that every pixel has the same weight."""
    classes = len(model.classes)
    counts = np.zeros((classes, classes), np.int64)
    for rows, (logits,) in outputs_of(model, data.images):
        predicted, truth = logits.argmax(1).ravel(), data.images.labels[rows].numpy().ravel()
        known = truth != UNKNOWN
        if known.any():
            counts += confusion(predicted[known], truth[known], classes)
    found = iou_of_counts(counts)
    objects = found[1:][~np.isnan(found[1:])]
    return {
        "mean_iou": float(objects.mean()) if len(objects) else 1.0,
        "by_class": {name: {"iou": _known(found[i])} for i, name in enumerate(model.classes)},
    }


def _embedding(model: Outputs, data: Labelled) -> dict[str, Any]:
    if data.train is None:
        raise UsageError(
            "an embedding is evaluated by a probe that is trained on the training part of the data; give data with "
            "parts, or --split test, which divides them"
        )
    known, wanted = (torch.from_numpy(logits_of(model, images)) for images in (data.train, data.images))
    truth = data.images.labels.numpy()
    near = _nearest(known, data.train.labels, wanted, len(data.train.classes))
    return {
        "probe_accuracy": accuracy(linear_probe(known, data.train.labels, wanted).argmax(1).numpy(), truth),
        "neighbour_accuracy": accuracy(near.numpy(), truth),
        "trained_on": len(data.train),
    }


def _nearest(known: Tensor, labels: Tensor, wanted: Tensor, classes: int) -> Tensor:
    """The most frequent class (n,) among the nearest of known features, by cosine; the nearest one decides ties."""
    near = functional.normalize(wanted, dim=1) @ functional.normalize(known, dim=1).T
    found = labels[near.topk(min(NEIGHBOURS, len(known)), 1).indices]
    votes = functional.one_hot(found, classes).sum(1).double()
    votes.scatter_add_(1, found[:, :1], torch.full((len(found), 1), 0.5, dtype=torch.float64))
    return votes.argmax(1)


def _objects(boxes: NDArray[Any], labels: NDArray[Any], scores: NDArray[Any] | None = None) -> Objects:
    real = labels >= 0
    return Objects(
        boxes[real].astype(np.float64), labels[real], None if scores is None else scores[real].astype(np.float64)
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
