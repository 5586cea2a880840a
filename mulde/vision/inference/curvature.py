"""Flatness of the loss of a classifier on labelled images."""

from __future__ import annotations

import copy
from typing import Any

import torch

from mulde.errors import UsageError
from mulde.metrics.flatness import flatness
from mulde.vision.inference.answers import Outputs
from mulde.vision.inference.loaded import TorchOutputs

MOST = 128  # images, which are computed at once


def flatness_of(model: Outputs, images: Any) -> list[dict[str, float]]:
    """Rows of `mulde.metrics.flatness.flatness`, of the cross entropy with the labels, in float64 and in eval mode.

    Parameters
    ----------
    model
        A classifier.
    images
        Labelled images; at most 128 are used, at equal distances in their order.

    Raises
    ------
    UsageError
        For a student of another task, or one without weights that torch can differentiate (ONNX).
    """
    if not isinstance(model, TorchOutputs) or model.task != "classify":
        raise UsageError("flatness is measured on a classifier that torch computes; leave out --flatness")
    network = copy.deepcopy(model.model).double().eval().requires_grad_(True)
    known = (images.labels >= 0).nonzero().flatten()
    rows = known[torch.linspace(0, len(known) - 1, min(MOST, len(known))).round().long()]
    pixels, labels = images.pixels(rows).double().to(model.device), images.labels[rows].to(model.device)
    return flatness(lambda: network(pixels), list(network.parameters()), labels)
