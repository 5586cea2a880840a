"""KD's losses beside those of mdistiller, see `benchmarks.quality.other_losses`.

    git clone https://github.com/megvii-research/mdistiller OTHERS
    python -m benchmarks.quality.mdistiller --source OTHERS --images FOLDER

Only its classes KD, DKD, FitNet and RKD are used. Settings are its own for CIFAR-100.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterable
from types import SimpleNamespace as Space
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.quality.other_losses import BETA, Loss, Networks, Other, compare, options_of
from mulde.vision.data.images import Split
from mulde.vision.methods import kd
from mulde.vision.models import seeded
from mulde.vision.models.heads import Adapter
from mulde.vision.training.feeds import ImageBatch

SIZE = (16, 16)
SETTINGS: dict[kd.Soft, tuple[str, str, Space]] = {
    "kd": ("KD", "KD", Space(TEMPERATURE=4, LOSS=Space(CE_WEIGHT=0.1, KD_WEIGHT=0.9))),
    "dkd": ("DKD", "DKD", Space(CE_WEIGHT=1.0, ALPHA=1.0, BETA=BETA, T=4.0, WARMUP=20)),
    "fitnet": ("FitNet", "FITNET", Space(LOSS=Space(CE_WEIGHT=1.0, FEAT_WEIGHT=100.0), HINT_LAYER=2, INPUT_SIZE=SIZE)),
    "rkd": (
        "RKD", "RKD",
        Space(
            DISTANCE_WEIGHT=25, ANGLE_WEIGHT=50, LOSS=Space(CE_WEIGHT=1.0, FEAT_WEIGHT=1.0),
            PDIST=Space(EPSILON=1e-12, SQUARED=False),
        ),
    ),
}  # fmt: skip
"""Our name of a loss -> file and class there, section of the settings, and settings."""


class Both(nn.Module):
    """A network of ours that returns what mdistiller's do: logits and features."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """(b, channels, h, w) -> logits (b, k) and features; the first of `feats`, after the stem, is not used."""
        found = self.net(images)
        return found.logits, {"feats": [images, *found.stages], "pooled_feat": found.pooled}


def make(config: kd.Config, data: Split, networks: Networks) -> tuple[Loss, Iterable[nn.Parameter]]:
    """The loss of mdistiller's class, and its parameters."""
    file, section, settings = SETTINGS[config.soft]
    made = getattr(importlib.import_module(f"mdistiller.distillers.{file}"), file)
    torch.manual_seed(data.seed)
    student = networks["student"].eval()  # one of the constructors passes a random picture through it
    distiller = made(Both(student), Both(networks["teacher"]), Space(**{section: settings})).train()
    if config.soft == "fitnet":  # the regressor begins with the weights of ours
        with seeded(data.seed, "adapter"):
            at = config.hint_stage
            regressor = Adapter(networks["student"].widths[at], networks["teacher"].widths[at])
        distiller.conv_reg.conv.weight.data.copy_(regressor.layers[0].weight)

    def loss(batch: ImageBatch, epoch: int) -> Tensor:
        _, losses = distiller(image=batch.images, target=batch.labels, epoch=epoch + 1)
        return torch.stack(list(losses.values())).sum()

    return loss, distiller.get_learnable_parameters()


MDISTILLER = Other(
    "mdistiller",
    tuple(SETTINGS),
    make,
    "python -m benchmarks.quality.mdistiller --source OTHERS --images FOLDER",
)


def main() -> None:
    options = options_of(MDISTILLER.name, __doc__)
    package = types.ModuleType("mdistiller.distillers")  # without its __init__, which needs further packages
    package.__path__ = [str(options.source / "mdistiller/distillers")]
    sys.modules["mdistiller"], sys.modules[package.__name__] = types.ModuleType("mdistiller"), package
    compare(MDISTILLER, options)


if __name__ == "__main__":
    main()
