"""Settings of the studies of domain generalisation on PACS; `benchmarks.quality.pictures` runs them.

Four domains, photo, art painting, cartoon and sketch: one is the test part, and training never sees it. The network
begins at ImageNet weights, see `benchmarks.quality.efficientnet_lite`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.quality.efficientnet_lite import OF_STAGES
from benchmarks.quality.picture_settings import DECAY, LR, Setting
from mulde.additions import Additions
from mulde.vision.ablation.study import Study, task_metrics
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.loading import load
from mulde.vision.methods import fs_ban, loss_landscape, mvdg, supervised
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.place_dropout import PlaceDropoutOptions

PACS = "zip:vision/pacs64/pacs64.zip,size=64"
DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
LITE = f"benchmarks/quality/efficientnet_lite.py:pretrained,{OF_STAGES}"
ADAM = OptimizerSteps("adam", 3e-4, 1e-4, schedule="cosine")
TUNED = Training(5, 24, "shift-flip", ADAM)
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
BASELINE = {LR: RATES, DECAY: (1e-4, 1e-3)}
NOTES = (
    "PACS at 64 x 64 pixels, 300 training pictures of three domains and 600 test pictures of the fourth, which is "
    "another one from seed to seed; EfficientNet-Lite0 begins at its ImageNet weights; the search is judged on other "
    "pictures of the three domains"
)


@dataclass(frozen=True, kw_only=True)
class DomainStudy(Study):
    """A study whose test domain is that of the seed, modulo 4."""

    def split(self, seed: int, data: str | None = None) -> Split[Any]:
        """The images of one seed, the same for every variant."""
        return super().split(seed, f"{data or self.data},test-domain={DOMAINS[seed % 4]}")


def of_pacs(study: Study, config: Any, **changes: Any) -> DomainStudy:
    """A study on PACS with 300 training and 600 test pictures."""
    fixed = {
        "config": config, "data": PACS, "train": 300, "test": 600, "valid": True, "notes": NOTES, "label_noise": 0.0,
        "metric": "accuracy", "second_metric": "", "read": load,
    }  # fmt: skip
    return DomainStudy(**{**vars(study), **fixed, **changes})


def base_classes(spec: str) -> ImageSet:
    """PACS with the pictures of the first four classes for training, and of the others for the test."""
    images = load(spec)
    new, test = images.labels >= 4, torch.tensor([part == "test" for part in images.parts])
    return images[new == test]


PLAIN = supervised.Config(student=LITE, training=TUNED)
WITH_PLACE = replace(TUNED, place=PlaceDropoutOptions(place_dropout=0.33, place_tau=1.0, place_begin=0.4))

SETTINGS = {
    "place_pacs": Setting(
        method="supervised",
        study=of_pacs(
            Study(
                config=PLAIN, variants={"baseline": {}, "method": {"training": WITH_PLACE}},
                metric="accuracy", data=PACS, meaning="method: PLACE dropout from the third of five epochs on",
            ),
            PLAIN,
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "training.place.place_dropout": (0.2, 0.33)}},
        seeds=8,
    ),
    "loss_landscape_pacs": Setting(
        method="loss_landscape",
        study=of_pacs(
            loss_landscape.STUDY,
            loss_landscape.Config(
                student=LITE, surface_steps=0,
                training=replace(TUNED, additions=Additions(max_grad_value=0.1, loss_driven_factor=0.9)),
            ),
            evaluate=task_metrics,
        ),
        search={"baseline": BASELINE, "method": {LR: RATES, "temperature": (2.0, 4.0)}},
        shared_stages=False,
        seeds=8,
    ),
    "mvdg_pacs": Setting(
        method="mvdg",
        study=of_pacs(
            replace(
                mvdg.STUDY,
                variants={
                    "baseline": {"pooled": True, "training": replace(TUNED, epochs=9, batch_size=12)},
                    "method": {},
                },
                meaning="baseline: as many steps on batches of 12 pictures of all domains; method: one epoch, whose "
                "updates take 18 steps",
            ),
            replace(
                mvdg.STUDY.config, student=LITE, training=Training(1, 24, "shift-flip", OptimizerSteps("sgd", 1.0))
            ),
        ),
        search={"baseline": BASELINE, "method": {"inner_lr": RATES, "inner_decay": (1e-4, 1e-3)}},
        search_length=1.0,
        seeds=8,
    ),
    "fs_ban_pacs": Setting(
        method="fs_ban",
        study=of_pacs(
            fs_ban.STUDY,
            replace(
                fs_ban.STUDY.config, student="cnn-16-32-64", teacher="cnn-16-32-64", ways=3, episodes=20,
                training=Training(10, 64, "shift-flip", OptimizerSteps("adam", 3e-3)),
            ),
            data=PACS.replace("size=64", "size=32"), train=1000, metric="episode_accuracy", read=base_classes,
            notes="PACS at 32 x 32 pixels, no pre-trained weights; trained on four classes of three domains, evaluated "
            "in 200 episodes of the three other classes in the fourth domain, which is another one from seed to seed",
        ),
        search={
            "baseline": {LR: (1e-3, 2e-3, 4e-3, 8e-3), DECAY: (0.0, 5e-4)},
            "method": {LR: (1e-3, 2e-3, 4e-3, 8e-3), "mutual_weight": (0.3, 0.8)},
        },
        shared_stages=False,
        variants=("baseline", "method", "weight 0"),
        seeds=8,
    ),
}  # fmt: skip
