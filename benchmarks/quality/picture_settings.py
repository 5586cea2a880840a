"""Settings of the ablation studies on real pictures; `benchmarks.quality.pictures` runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet
from mulde.vision.data.loading import load
from mulde.vision.methods import cbd, dcm, dogo, fedntd, fedx, ffsd, kd, simclrv2
from mulde.vision.training.federation import Rounds
from mulde.vision.training.options import OptimizerSteps, Training

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
    search_length: float = 0.4
    """Fraction of the epochs of a trial of the search."""
    shared_stages: bool = True
    """Whether nothing that is searched changes the stages that variants share, so that trials share them, too."""
    variants: Sequence[str] = ("baseline", "method")
    """Variants that are trained."""
    seeds: int = 5
    """Number of seeds."""
    teacher: str = ""
    """Command of a teacher of another origin, without its first word; FOLDER is that of the images, and the last word
    is the teacher's folder."""


CIFAR = "zip:vision/cifar10/cifar10_jpeg.zip,size=16"
EVERY = 5
"""Of CIFAR-10 every fifth picture is used: 10,000 for training and validation, 2,000 for the test."""
JPEG = "CIFAR-10 as JPEG, 16 x 16 pixels, every fifth picture"
SGD = OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, schedule="cosine")
LR, DECAY = "training.optimizer.lr", "training.optimizer.weight_decay"
RATES = (0.0125, 0.05, 0.1, 0.2)
COSINE_RATES = (0.0125, 0.05, 0.003, 0.006)
"""Learning rates for cosine classifiers, whose gradients are larger."""
CONTRAST_RATES, FEDERATED_RATES = (5e-4, 1e-3, 2e-3, 4e-3), (0.01, 0.02, 0.05, 0.1)
BASELINE = {LR: RATES, DECAY: (5e-4, 2e-3)}


def thinned(spec: str) -> ImageSet:
    """Every fifth picture of a specification, see `mulde.vision.data.loading`."""
    images = load(spec)
    return images[torch.arange(0, len(images), EVERY)]


def of_cifar(study: Study, config: Any, notes: str = "", **changes: Any) -> Study:
    """A study on CIFAR-10 without artificial label noise."""
    notes = f"{JPEG}{notes}"
    changes = {"train": 2000, "test": 2000, "label_noise": 0.0, "notes": notes, **changes}
    return replace(study, config=config, data=CIFAR, read=thinned, **changes)


TEACHER = (
    "distil --method supervised --data zip:FOLDER/vision/cifar10/cifar10_jpeg.zip,size=16 "
    "--student resnet20:FOLDER/models/resnet_cifar10/resnet20-12fca82f.th --preset recommended --epochs 2 "
    "--batch-size 128 --lr 0.02 --threads 1 --out resnet20-cifar10"
)
KD = Setting(
    method="kd",
    search_length=0.5,
    study=of_cifar(
        kd.STUDY,
        kd.Config(
            student="cnn-16-32-64", teacher=("runs/pictures/resnet20-cifar10",),
            training=Training(12, 64, "shift-flip", SGD),
        ),
        "; the teacher is a published ResNet-20, trained on for two epochs on all training pictures at this size",
        metric="accuracy", evaluate=kd.metrics,
    ),
    search={"baseline": BASELINE, "method": {LR: RATES, "temperature": (2.0, 4.0)}},
    teacher=TEACHER,
)  # fmt: skip

SETTINGS = {
    "kd_cifar10": KD,
    "kd_cifar10_few": replace(
        KD,
        study=replace(KD.study, config=replace(KD.study.config, training=Training(30, 64, "none", SGD)), train=1000),
    ),
    "cbd_cifar10": Setting(
        method="cbd",
        study=of_cifar(
            cbd.STUDY,
            replace(
                cbd.STUDY.config, student="cnn-16-32-64", teacher=("cnn-16-32-64", "cnn-16-32-64"),
                training=Training(20, 32, "shift-flip", replace(SGD, weight_decay=2.5e-4)),
            ),
            "; long-tailed training set; two teachers", train=3000, imbalance=50.0,
        ),
        search={
            "baseline": {LR: COSINE_RATES, DECAY: (2.5e-4, 2e-3)},
            "weight 0": {LR: COSINE_RATES, DECAY: (2.5e-4, 2e-3)},
            "method": {LR: COSINE_RATES, "beta": (30.0, 100.0)},
        },
        shared_stages=False,
        variants=("baseline", "method", "weight 0"),
    ),
    "simclrv2_cifar10": Setting(
        method="simclrv2",
        study=of_cifar(
            simclrv2.STUDY,
            replace(
                simclrv2.STUDY.config, student="cnn-8-16-32", teacher="cnn-16-32-64", shots=5, mirror=True,
                pretraining=Training(15, 64, "none", OptimizerSteps("adam", 2e-3, 1e-6)),
                finetuning=Training(60, 50, "shift-flip", OptimizerSteps("adam", 2e-3, 1e-6)),
                training=Training(10, 128, "shift-flip", OptimizerSteps("adam", 1e-3, 1e-6)),
            ),
            ", 5 labelled pictures per class; pre-trained for 15 epochs, no self-distillation",
            train=1500,
        ),
        search={
            "baseline": {LR: (5e-4, 1e-3, 2e-3, 4e-3), DECAY: (1e-6, 1e-3)},
            "method": {LR: (1e-3, 2e-3), "finetuning.optimizer.lr": (1e-3, 4e-3), "temperature": (1.0, 2.0)},
        },
        variants=("baseline", "method", "weight 0"),
    ),
    "dcm_cifar10": Setting(
        method="dcm",
        study=of_cifar(dcm.STUDY, replace(dcm.STUDY.config, training=Training(20, 64, "none", SGD)), train=1000),
        search={"baseline": BASELINE, "method": {LR: RATES, "cross_weight": (0.3, 1.0)}},
    ),
    "ffsd_cifar10": Setting(
        method="ffsd",
        study=of_cifar(
            ffsd.STUDY,
            replace(
                ffsd.STUDY.config, student="cnn-8-16-32", peer=("cnn-8-16-32", "cnn-8-16-32"),
                training=Training(15, 64, "none", replace(SGD, nesterov=True)),
            ),
            "; two common students, one leader", train=1000,
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "feature_weight": (3.0, 10.0)}},
    ),
    "dogo_cifar10": Setting(
        method="dogo",
        study=of_cifar(
            dogo.STUDY,
            replace(
                dogo.STUDY.config, student="cnn-8-16-32", partner="cnn-12-24-48", shots=50,
                training=Training(10, 64, "none", OptimizerSteps("adam", 1e-3, 1e-6)),
            ),
            "; 10 epochs; a linear probe on 50 labels per class evaluates the small encoder, peer a", train=1000,
        ),
        search={
            "baseline": {LR: CONTRAST_RATES, DECAY: (1e-6, 1e-4)},
            "method": {LR: CONTRAST_RATES, "weight_a": (30.0, 100.0)},
        },
    ),
    "fedntd_cifar10": Setting(
        method="fedntd",
        study=of_cifar(
            fedntd.STUDY,
            replace(
                fedntd.STUDY.config, student="cnn-8-16-32", rounds=Rounds(10, 5, 8, "shards:3"),
                training=Training(3, 20, "none", OptimizerSteps("sgd", 0.05, 1e-5, momentum=0.9)),
            ),
            "; 10 clients with three shards each, 5 in each of 8 rounds; accuracy of the server, mean of the last 5 "
            "rounds; half of the rounds and of a client's epochs in the search; a first setting with two shards and a "
            "network without normalisation was given up, since its baseline did not learn in the search", train=2000,
        ),
        search={
            "baseline": {LR: FEDERATED_RATES, DECAY: (1e-5, 1e-3)},
            "method": {LR: FEDERATED_RATES, "beta": (0.3, 1.0)},
        },
        search_length=0.5,
    ),
    "fedx_cifar10": Setting(
        method="fedx",
        study=of_cifar(
            fedx.STUDY,
            replace(
                fedx.STUDY.config, student="cnn-8-16-32", mirror=True, shots=50,
                rounds=Rounds(5, None, 6, "dirichlet:0.5", decay=1.0),
                training=Training(3, 32, "none", OptimizerSteps("sgd", 0.05, 1e-5, momentum=0.9)),
            ),
            "; 5 clients, all in each of 6 rounds; a linear probe on 50 labels per class evaluates the server's "
            "encoder; half of the rounds and of a client's epochs in the search", train=800,
        ),
        search={
            variant: {LR: FEDERATED_RATES, "temperature": (0.1, 0.5)} for variant in ("baseline", "method")
        },
        search_length=0.5,
    ),
}  # fmt: skip
SETTINGS["fedx_cifar10_resnet"] = replace(
    SETTINGS["fedx_cifar10"],
    study=replace(
        SETTINGS["fedx_cifar10"].study,
        config=replace(
            SETTINGS["fedx_cifar10"].study.config, student="resnet8", channels=8, views="small",
            rounds=Rounds(5, None, 10, "dirichlet:0.5", decay=1.0),
        ),
        notes=f"{JPEG}; as fedx_cifar10 with a ResNet-8 of half the channels, stronger views and 10 rounds",
    ),
)  # fmt: skip
