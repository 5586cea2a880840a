"""Detection of a watermark in a classifier of images, from its outputs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mulde.errors import UsageError
from mulde.metrics.watermark import correlations, detection, projections
from mulde.vision.inference.answers import Outputs
from mulde.vision.inference.evaluation import outputs_of
from mulde.vision.training.watermark import FEWEST, carriers, patterns
from mulde.watermark import COMPARED, key_in, keyed_signs, other_keys


def watermark_of(model: Outputs, images: Any, key: Path) -> dict[str, float]:
    """Whether the probabilities of a classifier have the watermark of a key.

    Parameters
    ----------
    model
        The suspect, whose logits are all that is used.
    images
        Images to query it with; labels are not read.
    key
        File with the key.

    Returns
    -------
    See `mulde.metrics.watermark.detection`.

    Raises
    ------
    UsageError
        For a student of another task or with fewer than three classes, or where the file with the key cannot be read.
    """
    classes = len(model.classes)
    if model.task != "classify" or classes < FEWEST:
        raise UsageError(f"--watermark needs a classifier with {FEWEST} classes or more; leave it out")
    keys = [key_in(key), *other_keys(COMPARED)]
    drawn, waves, logits = patterns(keys, images.channels), [], []
    for rows, (found,) in outputs_of(model, images):
        logits.append(np.asarray(found, np.float64))
        waves.append(carriers(drawn, images.pixels(rows)).T.numpy())
    scores, signs = np.concatenate(logits), torch.stack([keyed_signs(each, "classes", classes) for each in keys])
    predicted = scores.argmax(1)
    scores[np.arange(len(scores)), predicted] = np.nan  # how sure it is says nothing about the key
    projected = projections(scores, signs.double().numpy())
    return detection(correlations(projected, np.concatenate(waves), predicted))
