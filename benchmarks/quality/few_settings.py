"""Settings of the studies of few pictures, none, few bits and few shots; `benchmarks.quality.pictures` runs them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.quality.picture_settings import DECAY, LR, RATES, SGD, TEACHER, Setting
from benchmarks.quality.self_settings import ADAM_RATES, FLIPPED, NETWORK, OF_RESNET20, RESNET20, few
from mulde.vision.data.images import ImageSet
from mulde.vision.data.loading import load
from mulde.vision.methods import bnext, cudfkd, proc_kd, rfs, tinymim, tst
from mulde.vision.training.options import OptimizerSteps, Training


def adam(epochs: int, batch_size: int = 64, augment: Any = "shift-flip") -> Training:
    """Adam with a cosine schedule."""
    return Training(epochs, batch_size, augment, OptimizerSteps("adam", 2e-3, schedule="cosine"))


def by_alphabet(spec: str) -> ImageSet:
    """Omniglot with the characters from 80 to 107 for validation and the others from 80 on for the test."""
    images = load(spec)
    parts = ("train" if label < 80 else "valid" if label < 108 else "test" for label in images.labels.tolist())
    return replace(images, parts=tuple(parts))


SETTINGS = {
    "proc_kd_clothing": Setting(
        method="proc_kd",
        study=replace(
            proc_kd.STUDY,
            config=replace(
                proc_kd.STUDY.config, student=NETWORK, teacher=RESNET20, teacher_data="",
                training=Training(60, 32, "shift-flip", SGD), prototype_training=adam(20),
            ),
            data="zip:vision/clothing_small64/clothing_small_64px.zip,size=16", train=300,
            notes="photographs of ten kinds of clothing at 16 x 16 pixels, 300 for training, official test part; the "
            "teacher is a ResNet-20 for CIFAR-10, which has no such classes",
        ),
        search={
            "baseline": {LR: RATES, DECAY: (5e-4, 2e-3)},
            "method": {LR: RATES, "align_weight": (0.1, 1.0)},
        },
        shared_stages=False,
        variants=("baseline", "method", "weight 0"),
        teacher=TEACHER,
    ),
    "tst_cifar10": Setting(
        method="tst",
        study=few(
            tst.STUDY,
            replace(
                tst.STUDY.config, student=NETWORK, teacher=RESNET20, phases=(4, 10), phase_epochs=3, training=FLIPPED
            ),
            OF_RESNET20,
        ),
        search={
            "baseline": {LR: RATES, "temperature": (2.0, 4.0)},
            "method": {LR: RATES, "temperature": (2.0, 4.0)},
        },
        variants=("baseline", "method", "weight 0"),
        teacher=TEACHER,
    ),
    "bnext_cifar10": Setting(
        method="bnext",
        study=few(
            bnext.STUDY,
            replace(
                bnext.STUDY.config, student="bnext-16-32-64", teacher=("cnn-16-32-64", "cnn-32-64-128"),
                training=adam(20), teacher_training=FLIPPED,
            ),
            "; an assistant and a larger teacher, trained on the same pictures",
        ),
        search={
            "baseline": {LR: ADAM_RATES, DECAY: (0.0, 1e-4)},
            "method": {LR: ADAM_RATES, "surrogate_decay": (0.9, 0.97)},
        },
        variants=("baseline", "method", "weight 0"),
    ),
    "tinymim_cifar10": Setting(
        method="tinymim",
        study=few(
            tinymim.STUDY,
            replace(
                tinymim.STUDY.config, student="vit-48-4-4-patch4", teacher="vit-96-4-4-patch4", shots=20,
                training=adam(40), pretraining=adam(60), finetuning=adam(40, 50),
            ),
            "; teacher and relations are trained on 2,000 pictures without labels, then 20 labelled ones per class",
            train=2000,
        ),
        search={
            "baseline": {"finetuning.optimizer.lr": ADAM_RATES, "finetuning.optimizer.weight_decay": (0.0, 1e-3)},
            "method": {"finetuning.optimizer.lr": ADAM_RATES, LR: (1e-3, 2e-3)},
        },
        variants=("baseline", "method", "weight 0"),
    ),
    "cudfkd_cifar10": Setting(
        method="cudfkd",
        study=few(
            cudfkd.STUDY,
            replace(
                cudfkd.STUDY.config, student=NETWORK, teacher=RESNET20, updates=12, width=32, latent=64,
                training=Training(8, 64, "none", replace(SGD, lr=0.1)),
            ),
            f"{OF_RESNET20}; the students see no picture",
        ),
        search={
            "baseline": {LR: RATES, "temperature": (3.0, 10.0)},
            "method": {LR: RATES, "adversarial_growth": (0.0, 0.3)},
        },
        search_length=0.3,
        teacher=TEACHER,
    ),
    "rfs_omniglot": Setting(
        method="rfs",
        study=replace(
            rfs.STUDY,
            config=replace(
                rfs.STUDY.config, student=NETWORK, training=Training(20, 64, "shift", replace(SGD, nesterov=True))
            ),
            data="zip:vision/omniglot_small/images_background_small1.zip,size=28,grey=1,classes=path",
            read=by_alphabet,
            notes="Omniglot, the first small background set at 28 x 28 pixels: trained on 80 characters, searched with "
            "28 others, evaluated in 200 episodes of 28 more, four ways and one shot",
        ),
        search={
            "baseline": {LR: RATES, DECAY: (5e-4, 2e-3)},
            "method": {LR: RATES, "alpha": (0.5, 0.8)},
        },
        shared_stages=False,
    ),
}  # fmt: skip
