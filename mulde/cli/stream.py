"""Segment a video with a small network that is trained online, with few queries to a teacher (JITNet).

A teacher is a function that takes a frame, uint8 (h, w, 3), and returns a class id for every pixel (h, w), 0 for the
background, or `mulde.vision.video.dense_labels.Instances`.

Examples:
    mulde stream street.mp4 --teacher my_teacher:segment --classes 3
    mulde stream frames/ --teacher masks/ --height 240
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mulde.cli._output import announce, show
from mulde.config import (
    Duration,
    NonNegative,
    Positional,
    Positive,
    Range,
    Size,
    Threads,
    Whole,
    extended,
    flatten,
    to_dict,
)
from mulde.config.command_line import parse
from mulde.errors import UsageError
from mulde.files import locked, refuse_files_of_others, write_atomically

if TYPE_CHECKING:
    from mulde.engine import Record
    from mulde.vision.methods.jitnet import JITNet, OnDemand
    from mulde.vision.video.dense_labels import QueriedTeacher
    from mulde.vision.video.predictions import Predictions
    from mulde.vision.video.reading import Video

WRITTEN = ("classes", "fit", "model.json", "model.safetensors", "summary.json", "side_by_side.mp4")
FIRST = ("video", "teacher", "classes", "height", "out", "init_weights", "budget", "device", "seed", "json")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Video, teacher and student."""

    video: Positional[Path]
    """A video file, or a folder of images, one per frame."""
    teacher: str
    """The teacher: module:function, file.py:function, or a folder with a class map for every frame."""
    classes: Annotated[int, Range(2, 256)] = 2
    """Number of classes of the teacher, the background included."""
    height: Size | None = None
    """Height of the frames in pixels; by default unchanged."""
    init_weights: Path | None = None
    """Initial weights, a final.safetensors of an earlier stream with the same --classes and --width."""
    lr: Positive = 0.01
    """Learning rate."""
    momentum: NonNegative = 0.9
    """Momentum."""
    out: Path | None = None
    """Folder of the results; by default runs/stream and the name of the video."""
    write_video: bool = True
    """Write side_by_side.mp4, the frames beside the student's classes."""
    budget: Duration | None = None
    """Time limit, for example 90s or 10m; the same command with more time continues."""
    seed: Whole = 0
    """Seed of the initial weights."""
    device: str = "cpu"
    """Device of the student."""
    threads: Threads | None = None
    """Processor threads; by default all."""
    wait: bool = False
    """If another command is writing into the folder, wait until it has ended instead of stopping with an error."""
    json: bool = False
    """Print the result as JSON."""


MAY_CHANGE = {"video", "teacher", "out", "write_video", "budget", "device", "threads", "wait", "json", "init_weights"}
"""Options that may change when a stream is continued. Video and initial weights are compared by their checksums."""


def main(argv: Sequence[str]) -> int:
    settings: Any = parse(Config, argv, "mulde stream", __doc__ or "", first=FIRST, compose=compose)
    from mulde.engine import process

    process.start()
    with process.threads(settings.threads):
        return _streamed(settings)


def _streamed(settings: Any) -> int:
    from mulde.vision.video.dense_labels import QueriedTeacher, teacher_called
    from mulde.vision.video.reading import open_video

    rules = settings.rules
    video = open_video(settings.video, settings.height)
    called = teacher_called(settings.teacher, video, settings.classes)
    teacher = QueriedTeacher(called, settings.classes, rules.box_weight, rules.box_margin)
    out = settings.out or Path("runs/stream") / settings.video.resolve().stem
    refuse_files_of_others(out, WRITTEN, "**/fit/config.json")
    with locked(out, announce if settings.wait else None):
        return _written(settings, teacher, video, out)


def _written(settings: Any, teacher: QueriedTeacher, video: Video, out: Path) -> int:
    """Write the results of a stream into a folder whose lock is held."""
    from mulde.vision.methods.jitnet import JITNet, OnDemand, new_student
    from mulde.vision.video.predictions import Predictions
    from mulde.vision.video.side_by_side import write_side_by_side

    rules = settings.rules
    method = JITNet(new_student(rules, settings.classes, settings.seed))
    if settings.init_weights is not None:
        _load_initial(method, settings.init_weights)
    sink = Predictions(out / "classes")
    feed = OnDemand(video, teacher, method, rules, sink)
    record = _fit(settings, method, feed, out, video)
    if record.stopped_by == "budget":
        announce(f"stopped after {record.seconds:.0f} s at frame {feed.at.frame}; the same command continues")
        return 0
    result = _summary(settings, record, sink)
    _keep(settings, method, out, video, result)
    write_atomically(out / "summary.json", (json.dumps(result, indent=1) + "\n").encode())
    if settings.write_video and not (out / "side_by_side.mp4").exists():
        write_side_by_side(
            out / "side_by_side.mp4", video, sink.__getitem__, {query["frame"] for query in sink.queries}
        )
    return show(result, _text(result, out), settings.json)


def compose(values: Mapping[str, Any]) -> type[Config]:
    """The options together with those of JITNet."""
    from mulde.vision.methods.jitnet import Rules

    return extended(Config, rules=Rules)


def _fit(settings: Config, method: JITNet, feed: OnDemand, out: Path, video: Video) -> Record:
    """One pass over the video; an interrupted one is continued, a finished one reused."""
    from mulde.engine import Trainer
    from mulde.engine.checkpoint import ConfigurationChanged
    from mulde.vision.training.options import OptimizerSteps

    fixed = {name: value for name, value in flatten(settings).items() if name not in MAY_CHANGE}
    fixed |= {"teacher": settings.teacher, "data": video.checksum()}
    if settings.init_weights is not None:
        fixed["init_weights"] = hashlib.sha256(settings.init_weights.read_bytes()).hexdigest()
    trainer = Trainer(
        folder=out,
        optimizers=OptimizerSteps("sgd", settings.lr, momentum=settings.momentum),
        device=settings.device,
        seed=settings.seed,
        config=fixed,
        title=settings.video.name,
    )
    try:
        record = trainer.fit(method, feed, epochs=1, budget_seconds=settings.budget)
    except ConfigurationChanged as error:
        changes = "\n  ".join(re.sub(r"^config\.", "", change) for change in error.changes)
        raise UsageError(
            f"{out} holds a stream with other settings; give another --out, or the old settings:\n  {changes}"
        ) from error
    if record.reused:
        announce(f"finished before and reused: {out}")
    return record


def _keep(settings: Config, method: JITNet, out: Path, video: Video, result: Mapping[str, Any]) -> None:
    """Save the student as it is at the end of the stream."""
    from mulde.vision.storage.student import Student, save_student
    from mulde.vision.video.labelled import DEVIATION, MEAN

    classes = tuple(map(str, range(settings.classes)))
    student = Student(method.student, "segment", classes, 3, None, (MEAN,) * 3, (DEVIATION,) * 3)
    figures = {name: result[name] for name in ("iou_before_training", "iou_after_training")}
    data = {"source": str(settings.video), "name": settings.video.stem, "checksum": video.checksum()}
    about = {"method": "jitnet", "data": data, "settings": result["settings"], "metrics": {"stream": figures}}
    save_student(out, student, about)


def _load_initial(method: JITNet, path: Path) -> None:
    """Load the weights of an earlier stream. Raises UsageError where they belong to another network."""
    from mulde.engine import load_weights

    if not path.is_file():
        raise UsageError(f"--init-weights {path}: does not exist; name the final.safetensors of an earlier stream")
    try:
        method.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise UsageError(
            f"--init-weights {path}: weights of another network; --classes and --width must be those of the stream "
            f"that wrote it ({str(error).splitlines()[-1].strip()})"
        ) from error


def _summary(settings: Config, record: Record, sink: Predictions) -> dict[str, Any]:
    queries, frames = sink.queries, len(sink)
    in_teacher = sum(query["seconds"] for query in queries)
    return {
        "video": str(settings.video),
        "teacher": settings.teacher,
        "frames": frames,
        "seconds": record.seconds,
        "frames_per_second": frames / max(record.seconds, 1e-9),
        "frames_per_second_without_teacher": frames / max(record.seconds - in_teacher, 1e-9),
        "teacher_queries": len(queries),
        "teacher_seconds": in_teacher,
        "updates": sum(query["updates"] for query in queries),
        "iou_before_training": sum(query["before"] for query in queries) / max(1, len(queries)),
        "iou_after_training": sum(query["after"] for query in queries) / max(1, len(queries)),
        "settings": {name: value for name, value in to_dict(settings).items() if name != "wait"},
    }


def _text(result: dict[str, Any], out: Path) -> str:
    every = result["frames"] / max(1, result["teacher_queries"])
    return "\n".join(
        [
            f"{result['frames']} frames in {result['seconds']:.1f} s: "
            f"{result['frames_per_second']:.1f} frames per second, "
            f"{result['frames_per_second_without_teacher']:.1f} without the teacher's time",
            f"{result['teacher_queries']} teacher queries, one in {every:.1f} frames; {result['updates']} updates",
            f"mean IoU with the teacher {result['iou_before_training']:.4f} before training on a queried frame, "
            f"{result['iou_after_training']:.4f} after it",
            f"student, classes and video: {out}",
        ]
    )
