"""Let a small network follow a video by learning from a big one that is asked only now and then (JITNet).

Examples:
    mulde stream street.mp4 --teacher my_teacher:segment --classes 3
    mulde stream frames/ --teacher masks/ --height 240

A teacher is a function that takes a frame, uint8 (h, w, 3), and answers with a class id for every pixel (h, w), 0
the background, or with `mulde.vision.video.dense_labels.Instances`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mulde.cli._output import announce, show
from mulde.config.command_line import Positional, parse
from mulde.engine import Record, Trainer, load_weights, process
from mulde.engine.checkpoint import ConfigurationChanged
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.vision.methods.jitnet import JITNet, OnDemand, Rules, fresh
from mulde.vision.training.session import OptimizerSteps
from mulde.vision.video.dense_labels import QueriedTeacher, teacher_called
from mulde.vision.video.predictions import Predictions
from mulde.vision.video.reading import Video, open_video
from mulde.vision.video.side_by_side import write_side_by_side


@dataclass(frozen=True, kw_only=True)
class Config(Rules):
    """What to watch, and who knows better."""

    video: Positional[Path]
    """A video file, or a folder whose pictures are the frames."""
    teacher: str
    """Who is asked: module:function, file.py:function, or a folder with a map of classes for every frame."""
    classes: int = 2
    """How many classes the teacher tells apart, the background included."""
    height: int | None = None
    """Rows that frames are brought to; none: as they are."""
    init_weights: Path | None = None
    """Weights to begin with, a final.safetensors of an earlier stream with the same --classes and --width."""
    lr: float = 0.01
    """Learning rate."""
    momentum: float = 0.9
    """Momentum."""
    out: Path | None = None
    """Where results go; by default runs/stream and the name of the video."""
    write_video: bool = True
    """Write the frames beside what the student saw, side_by_side.mp4."""
    budget: float | None = None
    """Seconds after which to stop; the same command with more continues."""
    seed: int = 0
    """Of the student's first weights."""
    device: str = "cpu"
    """Where the student computes."""
    threads: int | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the result as JSON."""


OF_NO_CONSEQUENCE = (
    "video",
    "teacher",
    "out",
    "write_video",
    "budget",
    "device",
    "threads",
    "json",
    "init_weights",
)


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde stream", __doc__ or "")
    if not 2 <= settings.classes <= 256:
        raise UsageError(f"--classes counts the background too and is between 2 and 256; got {settings.classes}")
    process.start(settings.threads)
    teacher = teacher_called(settings.teacher)
    video = open_video(settings.video, settings.height)
    out = settings.out or Path("runs/stream") / settings.video.resolve().stem
    method = JITNet(fresh(settings, settings.classes, settings.seed))
    if settings.init_weights is not None:
        _begin_with(method, settings.init_weights)
    asked = QueriedTeacher(teacher, settings.classes, settings.box_weight, settings.box_margin)
    sink = Predictions(out / "classes")
    feed = OnDemand(video, asked, method, settings, sink)
    record = _followed(settings, method, feed, out, video)
    if record.stopped_by == "budget":
        announce(f"stopped after {record.seconds:.0f} s at frame {feed.at.frame}; the same command continues")
        return 0
    result = _summary(settings, record, sink)
    write_atomically(out / "summary.json", (json.dumps(result, indent=1) + "\n").encode())
    if settings.write_video and not (out / "side_by_side.mp4").exists():
        write_side_by_side(out / "side_by_side.mp4", video, sink.__getitem__, {query["frame"] for query in sink.queries})
    return show(result, _text(result, out), settings.json)


def _followed(settings: Config, method: JITNet, feed: OnDemand, out: Path, video: Video) -> Record:
    """One pass over the video, continued where it was stopped; a finished one is reused."""
    fixed = {item.name: getattr(settings, item.name) for item in fields(settings)}
    fixed = {name: value for name, value in fixed.items() if name not in OF_NO_CONSEQUENCE}
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
        shown = "\n  ".join(re.sub(r"^config\.", "", change) for change in error.changes)
        raise UsageError(
            f"{out} holds a stream with other settings; give another --out, or the old settings:\n  {shown}"
        ) from error
    if record.reused:
        announce(f"finished before and reused: {out}")
    return record


def _begin_with(method: JITNet, path: Path) -> None:
    """Weights of an earlier stream. Raises UsageError where they are those of another network."""
    if not path.is_file():
        raise UsageError(f"--init-weights {path}: does not exist; name the final.safetensors of an earlier stream")
    try:
        method.load_state_dict(load_weights(path))
    except (RuntimeError, SafetensorError) as error:
        raise UsageError(
            f"--init-weights {path}: not the weights of such a network; --classes and --width must be those of the stream "
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
        "teacher_calls": len(queries),
        "teacher_seconds": in_teacher,
        "updates": sum(query["updates"] for query in queries),
        "agreement_on_arrival": sum(query["before"] for query in queries) / max(1, len(queries)),
        "agreement_after_training": sum(query["after"] for query in queries) / max(1, len(queries)),
        "settings": {name: str(value) for name, value in asdict(settings).items()},
    }


def _text(result: dict[str, Any], out: Path) -> str:
    every = result["frames"] / max(1, result["teacher_calls"])
    return "\n".join(
        [
            f"{result['frames']} frames in {result['seconds']:.1f} s: "
            f"{result['frames_per_second']:.1f} frames per second, "
            f"{result['frames_per_second_without_teacher']:.1f} without the teacher's share",
            f"teacher asked {result['teacher_calls']} times, every {every:.1f} frames; {result['updates']} updates",
            f"mean IoU with the teacher {result['agreement_on_arrival']:.4f} on arrival, "
            f"{result['agreement_after_training']:.4f} after training on its answer",
            f"classes, weights and video: {out}",
        ]
    )
