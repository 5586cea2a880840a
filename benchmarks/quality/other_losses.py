"""KD's losses beside those of other code: same pictures, networks, initial weights and budget, in one run.

`benchmarks.quality.mdistiller` and `benchmarks.quality.torchdistill` say how that code is called. It is trained in a
plain loop on one thread; the networks, pictures and the trained teacher are those of the study ``kd_cifar10`` of
`benchmarks.quality.pictures`. Both get the same batches, mirrored at random. Processor time counts. Writes
``results/NAME/``.
"""

from __future__ import annotations

import argparse
import copy
import functools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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
from mulde.vision.training.evaluation import network_accuracy
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import Training
from mulde.vision.training.run import networks_of, train
from mulde.vision.training.session import Session

TRAINING = Training(6, 64, "flip", SGD)
BETA = 8.0
"""β of DKD."""
SETTING = SETTINGS["kd_cifar10"]

Networks = dict[str, Any]
Loss = Callable[[ImageBatch, int], Tensor]
"""Batch and epoch, counted from 0 -> loss of the student."""


@dataclass(frozen=True)
class Other:
    """Other code with losses that ours has, too."""

    name: str
    """Its name, which is that of the records' folder."""
    losses: Sequence[kd.Soft]
    """Our names of its losses."""
    make: Callable[[kd.Config, Split, Networks], tuple[Loss, Iterable[nn.Parameter]]]
    """The loss of a configuration, and what is trained; the networks have the roles student and teacher."""
    command: str
    """The command of the comparison."""


def ours(config: kd.Config, data: Split, networks: Networks) -> nn.Module:
    """The student of our method."""
    return train(kd, config, data, Session(data.seed), networks).student


def theirs(other: Other, config: kd.Config, data: Split, networks: Networks) -> nn.Module:
    """The student that learns by other code's loss in a plain loop."""
    student: nn.Module = networks["student"]
    loss, parameters = other.make(config, data, networks)
    student.train()
    training, spec = config.training, config.training.optimizer
    feed = training.feed(data.train, data.seed)
    optimizer = torch.optim.SGD(parameters, spec.lr, spec.momentum, weight_decay=spec.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs * len(feed))
    for epoch in range(training.epochs):
        feed.set_epoch(epoch)
        for batch in feed:
            optimizer.zero_grad()
            loss(batch, epoch).backward()
            optimizer.step()
            schedule.step()
    return student.eval()


def trained(other: Other | None, config: kd.Config, data: Split, networks: Any) -> dict[str, float]:
    """Test accuracy of one side, and its pictures per second of processor time."""
    own, started = copy.deepcopy(dict(networks)), time.process_time()
    student = theirs(other, config, data, own) if other else ours(config, data, own)
    seconds = time.process_time() - started
    rate = config.training.epochs * len(data.train) / seconds
    return {"accuracy": network_accuracy(student, data.test), "pictures_per_second": rate}


def row(other: str, soft: str, found: list[records.Record]) -> records.Record:
    """Both sides of one loss: means, paired difference of the accuracies, and ratio of the rates."""
    sides = ("mulde", other)
    own, foreign = ([it["metrics"] for it in found if (it["soft"], it["side"]) == (soft, side)] for side in sides)
    differences = np.array([a["accuracy"] - b["accuracy"] for a, b in zip(own, foreign, strict=True)])
    margin = half_interval(differences)
    line: records.Record = {"loss": soft, "seeds": len(own)}
    for side, runs in zip(sides, (own, foreign), strict=True):
        values = [run["accuracy"] for run in runs]
        line[side] = f"{statistics.fmean(values):.3f} ± {records.deviation(values) or 0:.3f}"
    middle = differences.mean()
    line["difference"] = f"{middle:+.3f} [{middle - margin:+.3f}, {middle + margin:+.3f}]"
    rates = [[run["pictures_per_second"] for run in runs] for runs in (own, foreign)]
    line |= {f"rate, {side}": round(statistics.median(each)) for side, each in zip(sides, rates, strict=True)}
    line["ratio"] = round(statistics.median(a / b for a, b in zip(*rates, strict=True)), 3)
    return line


def options_of(other: str, text: str | None) -> argparse.Namespace:
    """The options of a comparison; `text` describes it."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help=f"folder that holds the package {other}")
    parser.add_argument("--images", type=Path, required=True, help="folder in which paths of pictures begin")
    parser.add_argument("--seeds", type=int, default=3, help="seeds, from 10 on (default: 3)")
    parser.add_argument("--train", type=int, default=1000, help="training pictures (default: 1000)")
    parser.add_argument("--runs", type=Path, default=Path("runs/pictures"), help="(default: runs/pictures)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / other, help=f"(default: results/{other})")
    return parser.parse_args()


def compare(other: Other, options: argparse.Namespace) -> None:
    """Train both sides with every loss and seed, and record."""
    process.start()
    train_teacher(SETTING.teacher, options.images, options.runs)
    study = replace(
        SETTING.study, read=functools.partial(read_below, SETTING.study.read, options.images), train=options.train
    )
    found: list[records.Record] = []
    sides: dict[str, Other | None] = {"mulde": None, other.name: other}
    with process.threads(1):
        for seed in range(10, 10 + options.seeds):
            data = study.split(seed)
            for soft in other.losses:
                config = replace(study.config, soft=soft, beta=BETA, training=TRAINING)
                networks = networks_of(kd, config, data, Session(seed), named(kd, config, data, lambda text: None))
                if not found:  # imports, and what torch sets up once
                    for each in sides.values():
                        trained(each, replace(config, training=replace(TRAINING, epochs=1)), data, networks)
                for side in sorted(sides, reverse=bool(seed % 2)):
                    metrics = trained(sides[side], config, data, networks)
                    print(soft, side, seed, metrics, file=sys.stderr, flush=True)
                    found.append(
                        {"run": f"{soft}, {side}, {seed}", "soft": soft, "side": side, "seed": seed,
                         "command": other.command, "data": study.data, "train": options.train, "metrics": metrics,
                         **records.environment()}
                    )  # fmt: skip
    records.write(options.out, found)
    title = f"Test accuracy and pictures per second of processor time; {options.train} pictures, 6 epochs, one thread"
    records.write_table(options.out, title, [row(other.name, soft, found) for soft in other.losses])
