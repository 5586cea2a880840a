"""Metrics of a stored student on labelled images, by its task.

classify    accuracy, balanced accuracy, expected calibration error, confusion of classes
detect      COCO's ap, ap50, ap75
segment     mean IoU of the classes without the background, and IoU of every class
embed       accuracy of a linear probe and of the nearest neighbours, on features of the training part
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mulde.errors import UsageError
from mulde.metrics.binary import expected_calibration_error
from mulde.metrics.classification import accuracy, balanced_accuracy, confusion, per_class
from mulde.metrics.segmentation import UNKNOWN, iou_of_counts
from mulde.vision.data.images import Images
from mulde.vision.inference.answers import softmax
from mulde.vision.inference.labelled import Labelled
from mulde.vision.inference.loaded import Loaded
from mulde.vision.storage.student import Student
from mulde.vision.training.detection import detection_metrics
from mulde.vision.training.evaluation import linear_probe

BATCH = 64
NEIGHBOURS = 5


def evaluate_student(student: Student, data: Labelled, device: str = "cpu") -> dict[str, Any]:
    """Metrics of a student on a part of a data set.

    Parameters
    ----------
    student
        The student.
    data
        The images, in the form of the student's input, and the training part for embeddings.
    device
        Device of the computation.

    Returns
    -------
    ``images`` (their number), the metrics of the task, and for classes ``by_class`` and ``confusion``.
    """
    student.network.to(device)
    found = {
        "classify": _classification,
        "detect": lambda student, data: detection_metrics(student.network, data.images),
        "segment": _segmentation,
        "embed": _embedding,
    }[student.task](student, data)
    return {"images": len(data.images), **found}


@torch.no_grad()
def outputs_of(student: Student, images: Images) -> Tensor:
    """Logits (n, ...), or features (n, d) of embeddings, of all images; on the CPU."""
    model, device = Loaded(student), next(iter(student.network.parameters()), torch.empty(0)).device
    batches = torch.arange(len(images)).split(BATCH)
    return torch.cat([model(images.pixels(rows).to(device)).cpu() for rows in batches])


def classification_metrics(logits: NDArray[Any], labels: NDArray[Any], classes: int) -> dict[str, float]:
    """Accuracy, balanced accuracy, and expected calibration error of the probability of the predicted class."""
    probabilities, predicted = softmax(logits), logits.argmax(1)
    return {
        "accuracy": accuracy(predicted, labels),
        "balanced_accuracy": balanced_accuracy(predicted, labels, classes),
        "ece": expected_calibration_error(probabilities.max(1), predicted == labels),
    }


def _classification(student: Student, data: Labelled) -> dict[str, Any]:
    logits, labels = outputs_of(student, data.images).numpy(), data.images.labels.numpy()
    if logits.shape[1] != len(student.classes):
        raise UsageError(f"expected logits of {len(student.classes)} classes, found {logits.shape[1]}")
    predicted, count = logits.argmax(1), len(student.classes)
    recall = per_class(predicted, labels, count)
    images = np.bincount(labels, minlength=count)
    return {
        **classification_metrics(logits, labels, count),
        "by_class": {
            name: {"images": int(images[i]), "recall": None if np.isnan(recall[i]) else float(recall[i])}
            for i, name in enumerate(student.classes)
        },
        "confusion": confusion(predicted, labels, count).tolist(),
    }


def _segmentation(student: Student, data: Labelled) -> dict[str, Any]:
    """Counts of all pixels together, so that every pixel has the same weight."""
    classes = len(student.classes)
    counts = np.zeros((classes, classes), np.int64)
    for rows in torch.arange(len(data.images)).split(1):
        predicted = outputs_of(student, data.images[rows]).argmax(1).numpy().ravel()
        truth = data.images.labels[rows].numpy().ravel()
        known = truth != UNKNOWN
        if known.any():
            counts += confusion(predicted[known], truth[known], classes)
    found = iou_of_counts(counts)
    objects = found[1:][~np.isnan(found[1:])]
    return {
        "mean_iou": float(objects.mean()) if len(objects) else 1.0,
        "by_class": {
            name: {"iou": None if np.isnan(found[i]) else float(found[i])} for i, name in enumerate(student.classes)
        },
    }


def _embedding(student: Student, data: Labelled) -> dict[str, Any]:
    if data.train is None:
        raise UsageError(
            "an embedding is evaluated by a probe on the training part of the data, which has none; give a data set "
            "with a training part"
        )
    known, wanted = (outputs_of(student, images) for images in (data.train, data.images))
    probed = linear_probe(known, data.train.labels, wanted).argmax(1)
    near = _nearest(known, data.train.labels, wanted, len(data.train.classes))
    truth = data.images.labels.numpy()
    return {
        "probe_accuracy": accuracy(probed.numpy(), truth),
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
