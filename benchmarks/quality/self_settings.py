"""Settings of the studies of self-distillation on CIFAR-10; `benchmarks.quality.pictures` runs them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.quality.picture_settings import BASELINE, DECAY, LR, RATES, SGD, TEACHER, Setting, of_cifar
from mulde.additions import Additions
from mulde.vision.ablation.study import Study
from mulde.vision.methods import born_again, byot, cosub, deit, sd_dropout, supervised
from mulde.vision.training.options import OptimizerSteps, Training

NETWORK = "cnn-16-32-64"
FLIPPED = Training(20, 64, "shift-flip", SGD)
"""20 epochs, moved and mirrored pictures."""
ADAM_RATES = (5e-4, 1e-3, 2e-3, 4e-3)
RESNET20 = "runs/pictures/resnet20-cifar10"
OF_RESNET20 = "; the teacher is a published ResNet-20, trained on for two epochs on all training pictures at this size"


def few(study: Study, config: Any, notes: str = "", **changes: Any) -> Study:
    """A study on 1,000 pictures of CIFAR-10, evaluated by the accuracy."""
    return of_cifar(study, config, notes, **{"train": 1000, "metric": "accuracy", "second_metric": "", **changes})


def of_additions(meaning: str, **additions: Additions) -> Study:
    """A study of additions to supervised training, by variant; the baseline has none."""
    config = supervised.Config(student=NETWORK, training=FLIPPED)
    changes = {name: {"training": replace(FLIPPED, additions=each)} for name, each in additions.items()}
    study = Study(
        config=config, variants={"baseline": {}, **changes}, metric="accuracy", data="digits", meaning=meaning
    )
    return few(study, config)


def constant(study: Study) -> Study:
    """The study whose variants but the baseline have a constant learning rate."""
    held = {
        name: {"training": replace(it["training"], optimizer=replace(SGD, schedule="constant"))}
        for name, it in study.variants.items() if name != "baseline"
    }  # fmt: skip
    return replace(study, variants={**study.variants, **held})


def with_training(study: Study, training: Training, longer: int = 1) -> Study:
    """The study with another training; the variant `longer`, where there is one, has so many times its epochs."""
    more = {"training": replace(training, epochs=longer * training.epochs)}
    variants = {name: {**it, **(more if name == "longer" else {})} for name, it in study.variants.items()}
    return replace(study, config=replace(study.config, training=training), variants=variants)


def lengthened(setting: Setting, longer: int = 1) -> Setting:
    """The setting with 80 epochs on pictures as they are, so that the baseline overfits."""
    notes = f"{setting.study.notes}; 80 epochs on pictures as they are, so that the baseline overfits"
    study = replace(with_training(setting.study, Training(80, 64, "none", SGD), longer), notes=notes)
    return replace(setting, study=study, search_length=0.3)


SETTINGS = {
    "born_again_cifar10": Setting(
        method="born_again",
        study=few(
            with_training(born_again.STUDY, FLIPPED, longer=3),
            replace(born_again.STUDY.config, student=NETWORK, independent=False, training=FLIPPED),
            "; two generations after the first, each as long as the baseline",
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "temperature": (2.0, 4.0)}},
        shared_stages=False,
        variants=("baseline", "method", "weight 0", "longer"),
    ),
    "byot_cifar10": Setting(
        method="byot",
        study=few(byot.STUDY, replace(byot.STUDY.config, student=NETWORK, training=FLIPPED)),
        search={"baseline": BASELINE, "method": {LR: RATES, "alpha": (0.3, 0.6)}},
        variants=("baseline", "method", "weight 0"),
    ),
    "sd_dropout_cifar10": Setting(
        method="sd_dropout",
        study=few(sd_dropout.STUDY, replace(sd_dropout.STUDY.config, student=NETWORK, training=FLIPPED)),
        search={"baseline": BASELINE, "method": {LR: RATES, "soft_weight": (0.1, 1.0)}},
        variants=("baseline", "method", "control"),
    ),
    "cosub_cifar10": Setting(
        method="cosub",
        study=few(
            with_training(cosub.STUDY, FLIPPED, longer=2),
            replace(cosub.STUDY.config, training=FLIPPED),
            "; a ResNet-20 of half the channels",
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "drop_rate": (0.05, 0.2)}},
        variants=("baseline", "method", "weight 0", "longer"),
    ),
    "deit_cifar10": Setting(
        method="deit",
        study=few(
            deit.STUDY,
            replace(
                deit.STUDY.config, student="deit-64-3-4-patch4", teacher=RESNET20,
                training=Training(
                    40, 64, "shift-flip", OptimizerSteps("adamw", 1e-3, 0.05, schedule="cosine", warmup_epochs=2)
                ),
            ),
            OF_RESNET20,
        ),
        search={
            "baseline": {LR: ADAM_RATES, DECAY: (0.05, 0.3)},
            "method": {LR: ADAM_RATES, "target": ("hard", "soft")},
        },
        teacher=TEACHER,
    ),
    "cycles_cifar10": Setting(
        method="supervised",
        study=of_additions(
            "method: general cyclical training; the weight decay, or the fraction of augmented pictures and the weight "
            "decay, rises and falls once",
            method=Additions(cycle=("optimizer.weight_decay=0.0001:0.005",)),
        ),
        search={
            "baseline": BASELINE,
            "method": {
                LR: RATES,
                "training.additions.cycle": (
                    ("optimizer.weight_decay=0.0001:0.005",),
                    ("optimizer.weight_decay=0.0001:0.005", "feed.augment_share=0:1:2"),
                ),
            },
        },
    ),
    "swa_cifar10": Setting(
        method="supervised",
        study=constant(
            of_additions(
                "method: the mean of the weights after every epoch of the second half, at a constant learning rate; "
                "weight 0: the last of these weights; baseline: a rate that falls along a cosine",
                **{
                    "method": Additions(average="swa", average_every=16, average_begin=0.5),
                    "weight 0": Additions(),
                },
            )
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, DECAY: (5e-4, 2e-3)}},
        variants=("baseline", "method", "weight 0"),
    ),
}  # fmt: skip
SETTINGS |= {
    "born_again_cifar10_long": lengthened(SETTINGS["born_again_cifar10"], longer=3),
    "byot_cifar10_long": lengthened(SETTINGS["byot_cifar10"]),
    "sd_dropout_cifar10_long": lengthened(SETTINGS["sd_dropout_cifar10"]),
}
