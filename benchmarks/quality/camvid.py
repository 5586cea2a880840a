"""JITNet on the drives of CamVid, with a trained teacher, and an equal search of settings for method and baseline.

    python -m benchmarks.quality.camvid --images FOLDER

Four drives are the videos, and the interval is over drives. For each drive a teacher and a student are trained on the
frames of the other drives; the baseline is that student as it is. The method goes on training it on the drive, on the
teacher's labels of the frames that it queries. The settings of both trainings are searched, eight trials each, on a
part of 0016E5 with more frames per second, which is no video of the study and does not train the networks for 0016E5.
Fits are kept in ``--runs``. What is written: `benchmarks.quality.picture_records`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks.harness import records
from benchmarks.quality import picture_records
from benchmarks.quality.picture_records import SEARCH_SEED
from mulde.engine import process
from mulde.engine.protocol import Setup
from mulde.metrics.segmentation import mean_iou
from mulde.vision.ablation import results
from mulde.vision.ablation.search import changed, points
from mulde.vision.methods import jitnet
from mulde.vision.pictures.class_maps import Coding, class_map
from mulde.vision.pictures.files import listed
from mulde.vision.pictures.reading import read_pixels
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from mulde.vision.video.dense_labels import QueriedTeacher
from mulde.vision.video.labelled import LabelledFrames
from mulde.vision.video.predictions import Predictions
from mulde.vision.video.reading import LabelledVideo

NAME = "jitnet_camvid"
SIZE, CLASSES = (96, 72), 11
"""Columns and rows of a frame, and classes; class 11 of the files is a pixel without a class."""
DRIVES, SEARCHED = ("0001TP", "0006R0", "0016E5", "Seq05VD"), "0016E5 in the validation part"
FIRST_SEED, STEP = 10, 3
"""Seed of the first drive; of the other drives every third frame is used."""
TEACHER_WIDTH = 0.25
TEACHER = Training(16, 8, "none", OptimizerSteps("adam", 3e-2, schedule="cosine"))
CONFIG = replace(
    jitnet.STUDY.config, background=True, box_weight=1.0, stride_min=4, stride_max=32,
    pretraining=Training(6, 8, "none", OptimizerSteps("adam", 3e-3, schedule="cosine")),
)  # fmt: skip
SEARCH = {
    "baseline": {"pretraining.optimizer.lr": (1e-3, 3e-3, 1e-2, 3e-2), "pretraining.epochs": (3, 6)},
    "method": {"training.optimizer.lr": (3e-3, 1e-2, 3e-2, 1e-1), "max_updates": (4, 8)},
}
NOTES = (
    "CamVid at 96 x 72 pixels, about one frame a second; a teacher of twice the student's width, both trained on every "
    "third frame of the other drives; at least 4 frames between two queries; 4 drives, no repeated seeds; chosen after "
    "a result on the first drive: a teacher with a tenth of the learning rate was hardly better than the student "
    "there, and the method not above its baseline"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder that holds vision/camvid240/camvid240.zip")
    parser.add_argument("--runs", type=Path, default=Path("runs/pictures"), help="(default: runs/pictures)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "pictures", help="(default: results/pictures)")
    options = parser.parse_args()
    process.start()
    with process.threads(1):
        compare(read(options.images / "vision/camvid240/camvid240.zip"), options.runs / NAME, options.out)


def compare(drives: Mapping[str, LabelledVideo], runs: Path, out: Path) -> None:
    """Search, train and record."""
    command = "python -m benchmarks.quality.camvid --images FOLDER"
    trials = list(search(drives, runs / "search"))
    picture_records.record_search(out.parent / picture_records.SEARCHES, NAME, command, trials)
    config = CONFIG
    for variant in SEARCH:  # the method continues from the student of the baseline
        own = (trial for trial in trials if trial["variant"] == variant)
        config = changed(config, max(own, key=lambda trial: trial["metrics"]["iou"])["settings"])
    study, rows = replace(jitnet.STUDY, config=config, notes=NOTES, meaning=""), []
    for seed, name in enumerate(DRIVES, FIRST_SEED):
        for variant in ("baseline", "method"):
            found = measured(drives, name, study.variant(variant), seed, runs / name, variant)
            _say(f"{name}, {variant}: {found}")
            rows.append({"seed": seed, "variant": variant, **found})
    result = results.result_of(jitnet, study, rows, data=None, notes=study.notes, command=command)
    data = f"CamVid: a drive for every seed, {', '.join(DRIVES)}; frames without a query to the teacher"
    _say(results.text(result))
    picture_records.record(out, NAME, {**result, "data": data})


def search(drives: Mapping[str, LabelledVideo], folder: Path) -> Iterator[records.Record]:
    """Trials of the student's training on other drives, then of its training on the video, from the best student."""
    config = CONFIG
    for variant, grid in SEARCH.items():
        best, chosen = -1.0, config
        for number, point in enumerate(points(grid)):
            tried = changed(replace(config, **jitnet.STUDY.variants[variant]), point)
            value = measured(drives, SEARCHED, tried, SEARCH_SEED, folder, f"{variant}-{number}")["iou"]
            _say(f"search, {variant}, {point}: iou {value:.4f}")
            if value > best:
                best, chosen = value, changed(config, point)
            yield {
                "run": f"{variant}, {number}", "variant": variant, "seed": SEARCH_SEED, "settings": point,
                "length": 1.0, "metrics": {"iou": value},
            }  # fmt: skip
        config = chosen


def measured(
    drives: Mapping[str, LabelledVideo], name: str, config: jitnet.Config, seed: int, folder: Path, run: str
) -> dict[str, float]:
    """Figures of one drive as in `jitnet.quality`, and the teacher's mean IoU on all its frames."""
    video, others = drives[name], [it for other, it in drives.items() if other.split()[0] != name.split()[0]]
    seen = LabelledVideo(
        np.concatenate([it.images[::STEP] for it in others]), np.concatenate([it.labels[::STEP] for it in others]),
        CLASSES, seed,
    )  # fmt: skip
    teacher = trained(TEACHER_WIDTH, TEACHER, seen, folder / "teacher")
    lr, epochs = config.pretraining.optimizer.lr, config.pretraining.epochs
    method = trained(config.width, config.pretraining, seen, folder / f"student-{epochs}-{lr:g}")
    answers = [teacher.classes(image) for image in video.frames()]
    queried = QueriedTeacher(lambda image, number: answers[number], CLASSES, config.box_weight, config.box_margin)
    sink = Predictions()
    feed = jitnet.OnDemand(video, queried, method, config, sink)
    Session(seed).fit(Setup(method, feed), config)
    exact = [mean_iou(own, true, CLASSES, background=True) for own, true in zip(answers, video.labels, strict=True)]
    return {**jitnet.quality(video, sink, config), "teacher": float(np.mean(exact))}


def trained(width: float, training: Training, seen: LabelledVideo, folder: Path) -> jitnet.JITNet:
    """A network that was trained on the true labels of some frames."""
    method = jitnet.JITNet(jitnet.new_student(replace(CONFIG, width=width), CLASSES, seen.seed))
    Session(seen.seed, folder).fit(Setup(method, LabelledFrames(seen, training.batch_size, seen.seed)), training)
    return method


def read(archive: Path) -> dict[str, LabelledVideo]:
    """The drives by name, and the official validation part as `SEARCHED`."""
    files = {PurePosixPath(file.name).with_suffix(""): file for file in listed(archive).pictures}
    frames: dict[str, list[tuple[Any, Any]]] = {}
    for path, file in sorted(files.items(), key=lambda item: item[0].name):
        part = path.parent.name
        if not part.endswith("annot"):
            name = SEARCHED if part == "val" else path.name.partition("_")[0]
            frames.setdefault(name, []).append((file, files[path.parent.with_name(f"{part}annot") / path.name]))
    return {
        name: LabelledVideo(
            np.stack([read_pixels(picture, SIZE)[0] for picture, _ in own]),
            np.stack([class_map(file, None, SIZE, Coding(CLASSES)) for _, file in own]),
            CLASSES,
        )
        for name, own in frames.items()
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
