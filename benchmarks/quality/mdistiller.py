"""KD's losses against those of mdistiller: same pictures, networks, initial weights and budget, in one run.

    git clone https://github.com/megvii-research/mdistiller OTHERS
    python -m benchmarks.quality.mdistiller --source OTHERS --images FOLDER

Only its classes KD, DKD, FitNet and RKD are used, in a plain loop on one thread; the networks, pictures and the trained
teacher are those of the study ``kd_cifar10`` of `benchmarks.quality.pictures`. Settings are mdistiller's for CIFAR-100.
Both get the same batches, mirrored at random. Processor time counts. Writes ``results/mdistiller/``.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Space
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import records
from benchmarks.quality.picture_settings import SETTINGS, SGD
from benchmarks.quality.pictures import read_below, train_teacher
from mulde.engine import process
from mulde.vision.ablation.statistics import half_interval
from mulde.vision.data.images import Split
from mulde.vision.distillation.sources import named
from mulde.vision.methods import kd
from mulde.vision.models import seeded
from mulde.vision.models.heads import Adapter
from mulde.vision.training.evaluation import network_accuracy
from mulde.vision.training.run import networks_of, train
from mulde.vision.training.session import Session, Training

TRAINING = Training(6, 64, "flip", SGD)
BETA, SIZE = 8.0, (16, 16)
SETTING = SETTINGS["kd_cifar10"]
THEIRS: dict[kd.Soft, tuple[str, str, Space]] = {
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


def ours(config: kd.Config, data: Split, networks: dict[str, Any]) -> nn.Module:
    """The student of our method."""
    return train(kd, config, data, Session(data.seed), networks).student


def theirs(config: kd.Config, data: Split, networks: dict[str, Any]) -> nn.Module:
    """The student of mdistiller's method in a plain loop."""
    file, section, settings = THEIRS[config.soft]
    made = getattr(importlib.import_module(f"mdistiller.distillers.{file}"), file)
    torch.manual_seed(data.seed)
    student = networks["student"].eval()  # one of the constructors passes a random picture through it
    distiller = made(Both(student), Both(networks["teacher"]), Space(**{section: settings})).train()
    if config.soft == "fitnet":  # the regressor begins with the weights of ours
        with seeded(data.seed, "adapter"):
            at = config.hint_stage
            regressor = Adapter(networks["student"].widths[at], networks["teacher"].widths[at])
        distiller.conv_reg.conv.weight.data.copy_(regressor.layers[0].weight)
    training, spec = config.training, config.training.optimizer
    feed = training.feed(data.train, data.seed)
    optimizer = torch.optim.SGD(
        distiller.get_learnable_parameters(), spec.lr, spec.momentum, weight_decay=spec.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs * len(feed))
    for epoch in range(training.epochs):
        feed.set_epoch(epoch)
        for batch in feed:
            _, losses = distiller(image=batch.images, target=batch.labels, epoch=epoch + 1)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            schedule.step()
    return student.eval()


SIDES: dict[str, Callable[[kd.Config, Split, dict[str, Any]], nn.Module]] = {"mulde": ours, "mdistiller": theirs}


def trained(side: str, config: kd.Config, data: Split, networks: Any) -> dict[str, float]:
    """Test accuracy of one side, and its pictures per second of processor time."""
    own, started = copy.deepcopy(dict(networks)), time.process_time()
    student = SIDES[side](config, data, own)
    seconds = time.process_time() - started
    rate = config.training.epochs * len(data.train) / seconds
    return {"accuracy": network_accuracy(student, data.test), "pictures_per_second": rate}


def row(soft: str, found: list[records.Record]) -> records.Record:
    """Both sides of one loss: means, paired difference of the accuracies, and ratio of the rates."""
    own, other = (
        [it["metrics"] for it in found if (it["soft"], it["side"]) == (soft, side)] for side in SIDES
    )  # fmt: skip
    differences = np.array([a["accuracy"] - b["accuracy"] for a, b in zip(own, other, strict=True)])
    margin = half_interval(differences)
    line: records.Record = {"loss": soft, "seeds": len(own)}
    for side, runs in (("mulde", own), ("mdistiller", other)):
        values = [run["accuracy"] for run in runs]
        line[side] = f"{statistics.fmean(values):.3f} ± {records.deviation(values) or 0:.3f}"
    middle = differences.mean()
    line["difference"] = f"{middle:+.3f} [{middle - margin:+.3f}, {middle + margin:+.3f}]"
    rates = [[run["pictures_per_second"] for run in runs] for runs in (own, other)]
    line["rate, mulde"], line["rate, mdistiller"] = (round(statistics.median(each)) for each in rates)
    line["ratio"] = round(statistics.median(a / b for a, b in zip(*rates, strict=True)), 3)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder that holds the package mdistiller")
    parser.add_argument("--images", type=Path, required=True, help="folder in which paths of pictures begin")
    parser.add_argument("--seeds", type=int, default=3, help="seeds, from 10 on (default: 3)")
    parser.add_argument("--train", type=int, default=1000, help="training pictures (default: 1000)")
    parser.add_argument("--runs", type=Path, default=Path("runs/pictures"), help="(default: runs/pictures)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "mdistiller", help="(default: results/mdistiller)"
    )
    options = parser.parse_args()
    package = types.ModuleType("mdistiller.distillers")  # without its __init__, which needs further packages
    package.__path__ = [str(options.source / "mdistiller/distillers")]
    sys.modules["mdistiller"], sys.modules[package.__name__] = types.ModuleType("mdistiller"), package
    process.start()
    train_teacher(SETTING.teacher, options.images, options.runs)
    study = replace(
        SETTING.study, read=functools.partial(read_below, SETTING.study.read, options.images), train=options.train
    )
    about = {"command": "python -m benchmarks.quality.mdistiller --source OTHERS --images FOLDER", "data": study.data}
    found: list[records.Record] = []
    with process.threads(1):
        for seed in range(10, 10 + options.seeds):
            data = study.split(seed)
            for soft in THEIRS:
                config = replace(study.config, soft=soft, beta=BETA, training=TRAINING)
                networks = networks_of(kd, config, data, Session(seed), named(kd, config, data, lambda text: None))
                if not found:  # imports, and what torch sets up once
                    for side in SIDES:
                        trained(side, replace(config, training=replace(TRAINING, epochs=1)), data, networks)
                for side in sorted(SIDES, reverse=bool(seed % 2)):
                    metrics = trained(side, config, data, networks)
                    print(soft, side, seed, metrics, file=sys.stderr, flush=True)
                    found.append(
                        {"run": f"{soft}, {side}, {seed}", "soft": soft, "side": side, "seed": seed, **about,
                         "train": options.train, "metrics": metrics, **records.environment()}
                    )  # fmt: skip
    records.write(options.out, found)
    title = f"Test accuracy and pictures per second of processor time; {options.train} pictures, 6 epochs, one thread"
    records.write_table(options.out, title, [row(soft, found) for soft in THEIRS])


if __name__ == "__main__":
    main()
