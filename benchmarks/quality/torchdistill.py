"""KD's losses beside those of torchdistill, see `benchmarks.quality.other_losses`.

    pip install --no-deps --target OTHERS torchdistill==1.1.5
    python -m benchmarks.quality.torchdistill --source OTHERS --images FOLDER

Only its classes KDLoss, DISTLoss and RKDLoss are used; weights and temperatures are ours.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.quality.other_losses import Loss, Networks, Other, compare, options_of
from mulde.vision.data.images import Split
from mulde.vision.methods import kd
from mulde.vision.models import Features
from mulde.vision.training.feeds import ImageBatch

PLACES = ("logits", "output", "logits", "output")
SETTINGS: dict[kd.Soft, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "kd": ("KDLoss", PLACES, {"temperature": 4.0, "alpha": 0.1}),
    "dist": ("DISTLoss", PLACES, {"tau": 4.0}),
    "rkd": ("RKDLoss", ("pooled", "pooled"), {"dist_factor": 25.0, "angle_factor": 50.0, "reduction": "mean"}),
}
"""Our name of a loss -> class there, the outputs it reads, and settings."""


def read(found: Features) -> dict[str, dict[str, Tensor]]:
    """Features as that code reads them."""
    return {"logits": {"output": found.logits}, "pooled": {"output": found.pooled}}


def make(config: kd.Config, data: Split, networks: Networks) -> tuple[Loss, Iterable[nn.Parameter]]:
    """The loss of torchdistill's class, and the student's parameters; KDLoss holds the loss on labels already."""
    name, places, settings = SETTINGS[config.soft]
    soft = getattr(importlib.import_module("torchdistill.losses.mid_level"), name)(*places, **settings)
    student, teacher = networks["student"], networks["teacher"].eval()

    def loss(batch: ImageBatch, epoch: int) -> Tensor:
        own = student(batch.images)
        with torch.no_grad():
            target = teacher(batch.images)
        found: Tensor = soft(read(own), read(target), batch.labels)
        return found if config.soft == "kd" else found + functional.cross_entropy(own.logits, batch.labels)

    return loss, student.parameters()


TORCHDISTILL = Other(
    "torchdistill",
    tuple(SETTINGS),
    make,
    "python -m benchmarks.quality.torchdistill --source OTHERS --images FOLDER",
)


def main() -> None:
    options = options_of(TORCHDISTILL.name, __doc__)
    sys.path.insert(0, str(options.source))
    compare(TORCHDISTILL, options)


if __name__ == "__main__":
    main()
