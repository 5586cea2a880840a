"""Comparison of a network's predictions with chance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mulde.vision.data.images import ImageSet
from mulde.vision.training.evaluation import predicted_classes

LEVEL = 0.01
"""Level of the one-sided test against chance."""


def accuracy_above_chance(network: nn.Module, images: ImageSet) -> tuple[float, bool]:
    """Accuracy of a network on the labelled ones of some images, and whether it is better than chance."""
    known = images.labels >= 0
    predicted, labels = predicted_classes(network, images)[known], images.labels[known]
    return float((predicted == labels).double().mean()), better_than_chance(predicted, labels)


def better_than_chance(predicted: Tensor, labels: Tensor) -> bool:
    """Whether predictions agree with labels more often than by chance: binomial test, one-sided, level .01.

    Chance is the expected agreement if predictions and labels, both with their own frequencies, were independent; a
    teacher that always predicts the most frequent class is therefore no better.

    Parameters
    ----------
    predicted, labels
        (n,) int64.
    """
    from scipy.stats import binomtest  # slow to import

    classes = int(max(predicted.max(), labels.max())) + 1
    shares = [torch.bincount(values, minlength=classes).double() / len(values) for values in (predicted, labels)]
    chance = float((shares[0] * shares[1]).sum())
    correct = int((predicted == labels).sum())
    return bool(chance < 1 and binomtest(correct, len(labels), chance, "greater").pvalue < LEVEL)
