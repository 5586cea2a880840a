"""Settings of the studies of detectors on pictures of blood cells; `benchmarks.quality.pictures` runs them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.quality.picture_settings import DECAY, LR, Setting
from mulde.vision.ablation.study import Study
from mulde.vision.methods import chen17, colad, lad
from mulde.vision.training.options import OptimizerSteps, Training

CELLS = "voc:vision/bccd,size=64"
PICTURES = (
    "BCCD at 64 x 64 pixels, red and white cells and platelets, 100 training pictures; the 72 test pictures are the "
    "official ones, the same for every seed"
)
TEACHER = "; one teacher for all seeds, trained on all 205 training pictures"
RATES = (4e-3, 8e-3, 16e-3, 32e-3)
ONE_STAGE = {LR: (2e-3, 4e-3, 8e-3, 16e-3), DECAY: (0.0, 1e-4)}


def training(epochs: int) -> Training:
    """Mirrored pictures, batches of 16, adam with a cosine schedule."""
    return Training(epochs, 16, "flip", OptimizerSteps("adam", 8e-3, schedule="cosine"))


def of_cells(study: Study, config: Any, notes: str = "", **changes: Any) -> Study:
    """A study on pictures of blood cells."""
    return replace(study, config=config, data=CELLS, train=100, test=72, notes=PICTURES + notes, **changes)


def teacher(words: str, out: str, epochs: int) -> str:
    """The command of a teacher: the student of a run without distillation."""
    return (
        f"distil --method {words} --data voc:FOLDER/vision/bccd,size=64 --augment flip --epochs {epochs} "
        f"--eval-every {epochs} --lr 0.004 --threads 1 --out {out}"
    )


SETTINGS = {
    "chen17_bccd": Setting(
        method="chen17",
        study=of_cells(
            chen17.STUDY,
            replace(
                chen17.STUDY.config, teacher="runs/pictures/bccd-two-stage", sides=(5.0, 11.0, 21.0), before=150,
                proposals=48, training=training(16),
            ),
            f"{TEACHER}; a hint of ten times the paper's weight, or the paper's, by the search",
        ),
        search={
            "baseline": {LR: RATES, DECAY: (0.0, 1e-4)},
            "method": {LR: RATES, "hint_weight": (0.5, 5.0)},
        },
        search_length=0.3,
        teacher=teacher(
            "chen17 --student cnn-8-16-32-48 --width 48 --hidden 96 --sides 5,11,21 --bins 4 --drawn-anchors 64 "
            "--drawn-regions 32 --before 150 --proposals 48 --hard-weight 1 --bounded-weight 0 --hint-weight 0",
            "bccd-two-stage", 30,
        ),
    ),
    "lad_bccd": Setting(
        method="lad",
        study=of_cells(
            lad.STUDY, replace(lad.STUDY.config, teacher="runs/pictures/bccd-one-stage", training=training(8)), TEACHER
        ),
        search={"baseline": ONE_STAGE, "method": ONE_STAGE},
        teacher=teacher(
            "lad --student cnn-8-16-32-48 --labels own --width 24 --anchor-scale 3 --stages 2 --extra 0 --tower 1",
            "bccd-one-stage", 10,
        ),
    ),
    "colad_bccd": Setting(
        method="colad",
        study=of_cells(colad.STUDY, replace(colad.STUDY.config, training=training(8))),
        search={"baseline": ONE_STAGE, "method": ONE_STAGE},
    ),
}  # fmt: skip
