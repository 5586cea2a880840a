"""Settings of the ablation studies on real pictures; `benchmarks.quality.pictures` runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mulde.vision.ablation.study import Study
from mulde.vision.methods import cbd, dcm, ffsd, kd, simclrv2
from mulde.vision.training.session import OptimizerSteps, Training

Grid = Mapping[str, Sequence[Any]]
"""Values by field of a configuration, such as ``training.optimizer.lr``; all combinations are tried."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A study of one method, and what is searched."""

    method: str
    """Name of the method."""
    study: Study
    """The comparison; paths of its data are relative to the folder of the images."""
    search: Mapping[str, Grid]
    """What is searched for each variant; others get the settings of the method."""
    search_length: float = 0.5
    """Fraction of the epochs of a trial of the search."""
    variants: Sequence[str] = ("baseline", "method")
    """Variants that are trained."""
    teacher: str = ""
    """Command of a teacher of another origin, without its first word; FOLDER is that of the images, and the last word
    is the teacher's folder."""


CIFAR = "zip:vision/cifar10/cifar10_jpeg.zip,size=16"
CLOTHING = "zip:vision/clothing_small64/clothing_small_64px.zip,size=24"
SGD = OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, schedule="cosine")
LR, DECAY = "training.optimizer.lr", "training.optimizer.weight_decay"
RATES = (0.0125, 0.05, 0.1, 0.2)
BASELINE = {LR: RATES, DECAY: (5e-4, 2e-3)}
JPEG = "CIFAR-10 as JPEG, 16 x 16 pixels"

SETTINGS = {
    "kd_cifar10": Setting(
        method="kd",
        study=replace(
            kd.STUDY,
            config=kd.Config(
                student="resnet8", teacher=("runs/pictures/resnet20-cifar10",),
                training=Training(10, 64, "shift-flip", SGD),
            ),
            metric="accuracy", evaluate=kd.metrics, data=CIFAR, train=2000, test=3000,
            notes=f"{JPEG}; the teacher is a published ResNet-20, trained on for two epochs on all training images",
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "temperature": (2.0, 4.0)}},
        teacher="distil --method supervised --data zip:FOLDER/vision/cifar10/cifar10_jpeg.zip,size=16 "
        "--student resnet20:FOLDER/models/resnet_cifar10/resnet20-12fca82f.th --preset recommended --epochs 2 "
        "--batch-size 128 --lr 0.02 --threads 1 --out resnet20-cifar10",
    ),
    "cbd_cifar10": Setting(
        method="cbd",
        study=replace(
            cbd.STUDY,
            config=replace(
                cbd.STUDY.config, student="cnn-16-32-64", teacher=("cnn-16-32-64", "cnn-16-32-64"),
                training=Training(60, 32, "shift-flip", replace(SGD, weight_decay=2.5e-4)),
            ),
            data=CIFAR, train=5000, test=3000, imbalance=100.0,
            notes=f"{JPEG}, long-tailed: 5 to 500 training images per class; two teachers",
        ),
        search={
            "baseline": {LR: RATES, DECAY: (2.5e-4, 2e-3)},
            "weight 0": {LR: RATES, DECAY: (2.5e-4, 2e-3)},
            "method": {LR: RATES, "beta": (30.0, 100.0)},
        },
        variants=("baseline", "method", "weight 0"),
    ),
    "simclrv2_cifar10": Setting(
        method="simclrv2",
        study=replace(
            simclrv2.STUDY,
            config=replace(
                simclrv2.STUDY.config, student="cnn-16-32-64", teacher="cnn-32-64-128", shots=5, mirror=True,
                pretraining=Training(20, 256, "none", OptimizerSteps("adam", 2e-3, 1e-6)),
                finetuning=Training(60, 50, "shift-flip", OptimizerSteps("adam", 2e-3, 1e-6)),
                training=Training(10, 128, "shift-flip", OptimizerSteps("adam", 1e-3, 1e-6)),
            ),
            data=CIFAR, train=3000, test=3000,
            notes=f"{JPEG}, 5 labelled images per class; pre-trained for 20 epochs, no self-distillation",
        ),
        search={
            "baseline": {LR: (5e-4, 1e-3, 2e-3, 4e-3), DECAY: (1e-6, 1e-3)},
            "method": {LR: (1e-3, 2e-3), "finetuning.optimizer.lr": (1e-3, 2e-3), "temperature": (1.0, 2.0)},
        },
        variants=("baseline", "method", "weight 0"),
    ),
    "dcm_cifar10": Setting(
        method="dcm",
        study=replace(
            dcm.STUDY,
            config=replace(dcm.STUDY.config, training=Training(15, 64, "shift-flip", SGD)),
            data=CIFAR, train=2000, test=3000, label_noise=0.0, notes=JPEG,
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "cross_weight": (0.3, 1.0)}},
        variants=("baseline", "method", "weight 0"),
    ),
    "ffsd_cifar10": Setting(
        method="ffsd",
        study=replace(
            ffsd.STUDY,
            config=replace(ffsd.STUDY.config, training=Training(10, 64, "shift-flip", replace(SGD, nesterov=True))),
            data=CIFAR, train=2000, test=3000, label_noise=0.0, notes=f"{JPEG}; three ResNet-8",
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "feature_weight": (3.0, 10.0)}},
    ),
}  # fmt: skip
