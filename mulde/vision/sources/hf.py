"""A folder of an image classifier as Hugging Face's transformers saves it: `hf:FOLDER`; needs transformers.

Only safetensors are read, nothing is downloaded, and no code in the folder is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.files import user_path
from mulde.vision.models.own_input import Input
from mulde.vision.sources._source import Source, Specification, Wanted, not_installed


class Logits(nn.Module):
    """A network of transformers that returns plain logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        """images: (b, channels, h, w)."""
        return self.network(images).logits


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """The classifier in a folder; one that learns gets a new classifier for the classes of the data.

    Raises
    ------
    MissingExtra
        If transformers is not installed.
    UsageError
        If the folder does not exist or holds no classifier of images.
    """
    folder = existing(spec)
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification
    except ImportError as error:
        raise not_installed(spec, "transformers") from error
    sizes = {} if wanted.trained else {"num_labels": len(wanted.classes), "ignore_mismatched_sizes": True}
    try:
        net = AutoModelForImageClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, **sizes
        )
        shown = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of transformers in many classes
        raise UsageError(f"hf:{spec.place}: {str(error).splitlines()[0]}") from error
    names = net.config.id2label if wanted.trained else {}
    return Source(Logits(net), _input(shown), tuple(str(names[i]) for i in sorted(names)))


def existing(spec: Specification) -> Path:
    """The folder. Raises UsageError if there is none."""
    folder = user_path(spec.place)
    if not folder.is_dir():
        raise UsageError(f"hf:{spec.place}: {folder} does not exist; expected a folder with config.json and weights")
    return folder


def _input(shown: Any) -> Input:
    """The input of a network by its image processor."""
    size = shown.crop_size if getattr(shown, "do_center_crop", False) else shown.size
    side = size.get("shortest_edge")
    mean, deviation = (tuple(map(float, values)) for values in (shown.image_mean, shown.image_std))
    return Input(len(mean), (int(side or size["height"]), int(side or size["width"])), mean, deviation)
