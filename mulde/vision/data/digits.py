"""The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn."""

from __future__ import annotations

import torch

from mulde.errors import missing
from mulde.vision.data.images import ImageSet


def digits() -> ImageSet:
    """Grey images (1797, 1, 8, 8) of ten classes.

    Raises
    ------
    MissingExtra
        Where scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise missing("the digits come with scikit-learn", "vision") from error
    images, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(images).float().view(-1, 1, 8, 8) / 16
    return ImageSet(pixels, torch.from_numpy(labels).long(), tuple("0123456789"), "digits")
