"""Images with boxes around objects, for detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.images import Images
from mulde.vision.data.stored import StoredPictures


@dataclass(frozen=True)
class DetectionSet(Images):
    """Images of any number of objects; labels (n, o), -1 in empty places."""

    boxes: Tensor = field(kw_only=True)
    """(n, o, 4) float32, left, top, right, bottom in pixels; pixel i reaches from i to i + 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels.ndim != 2 or not self.labels.shape[1] or self.boxes.shape != (*self.labels.shape, 4):
            raise UsageError(
                f"expected labels (n, o) and boxes (n, o, 4) with at least one place for an object; got "
                f"{tuple(self.labels.shape)} and {tuple(self.boxes.shape)}"
            )
        real = self.boxes[self.labels >= 0]
        flat = (real[:, 2:] <= real[:, :2]).any(1)
        if flat.any():
            raise UsageError(f"{int(flat.sum())} boxes have no area, the first is {real[flat][0].tolist()}; drop them")

    @property
    def strata(self) -> Tensor:
        """(n,) number of objects of each image."""
        return (self.labels >= 0).sum(1)


def padded(
    images: Tensor | StoredPictures,
    objects: Sequence[tuple[Tensor, Tensor]],
    classes: Sequence[str],
    name: str,
    parts: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> DetectionSet:
    """A set from the boxes (o, 4) and labels (o,) of each image, whose numbers may differ."""
    most = max([1, *(len(labels) for _, labels in objects)])
    boxes, labels = torch.zeros(len(objects), most, 4), torch.full((len(objects), most), -1)
    for i, (corners, kinds) in enumerate(objects):
        boxes[i, : len(kinds)], labels[i, : len(kinds)] = corners, kinds
    return DetectionSet(images, labels, tuple(classes), name, tuple(parts), notes=tuple(notes), boxes=boxes)
