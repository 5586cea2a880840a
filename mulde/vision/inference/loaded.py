"""A stored student as a plain module: images to logits, with its transform and classes.

model = mulde.vision.load("runs/small")
logits = model(model.transform(Image.open("photo.jpg")).unsqueeze(0))
model.classes[logits.argmax(1)]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mulde.vision.inference.transform import Array, Transform
from mulde.vision.storage.student import Student, open_student


class Loaded(nn.Module):
    """A student that returns one tensor; in eval mode.

    Parameters
    ----------
    student
        The network and its input.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.network, self.task, self.classes = student.network, student.task, student.classes
        self.input = Transform(student.channels, student.size, student.mean, student.deviation)
        self.mean, self.std, self.size = student.mean, student.deviation, student.size  # as a teacher tells its input
        self.eval()

    def forward(self, images: Tensor) -> Any:
        """Logits (b, k), or (b, k, h, w) of a segmentation network, of images (b, channels, h, w).

        A network of embeddings returns its features (b, d); a detector `Detections`, best first.
        """
        if self.task == "detect":
            return self.network.detect(images)  # type: ignore[operator]
        found = self.network(images)
        if isinstance(found, Tensor):  # a network of the user's
            return found
        return found.pooled if self.task == "embed" else found.logits

    def transform(self, picture: Any) -> Tensor:
        """The input of the network, float32 (channels, h, w).

        Parameters
        ----------
        picture
            A picture of Pillow, a path, or uint8 (h, w) or (h, w, 3).

        Raises
        ------
        UsageError
            Where it is none of these, or cannot be read.
        """
        return torch.from_numpy(self.input.array(picture))


class TorchOutputs:
    """Outputs of a student by torch, see `mulde.vision.inference.answers.Outputs`."""

    def __init__(self, student: Student, device: str = "cpu") -> None:
        self.model, self.device = Loaded(student).to(device), device
        self.task, self.classes, self.transform = str(student.task), student.classes, self.model.input

    @torch.no_grad()
    def compute(self, images: Array) -> list[NDArray[Any]]:
        """Outputs for images (b, channels, h, w)."""
        found = self.model(torch.from_numpy(images).to(self.device))
        return [each.cpu().numpy() for each in ([found] if isinstance(found, Tensor) else found)]


def load(place: Path | str, network: nn.Module | None = None) -> Loaded:
    """A stored student as a plain module in eval mode.

    Parameters
    ----------
    place
        Run folder of an image method, or bundle.
    network
        A new network of the kind that was trained, where it is one of your own. It gets the weights.

    Returns
    -------
    A module from images to logits. ``transform`` makes its input of a picture, ``classes`` names the logits.

    Raises
    ------
    UsageError
        If there is no student, it is damaged or of another format, or ``network`` is needed and not given.
    """
    return Loaded(open_student(place, network))
