"""JITNet: a small network follows a video by training on it, and asks a big one only when it has to.

    frame ─▶ student ─▶ classes of all pixels, for every frame
    every so many frames: teacher ─▶ labels; student good enough? ask half as often
                                             else train on this frame until it is, or give up and ask twice as often

    L = mean over pixels of W · CE(student, teacher's label), W = 5 in and around objects, 1 elsewhere

Source: Mullapudi, Chen, Zhang, Ramanan, Fatahalian, "Online Model Distillation for Efficient Video Inference",
ICCV 2019, arXiv 1812.02699. Of the repository josephch405/jit-masker, which is another paper's, nothing is taken:
there the strides are reversed. Our reading: the mean IoU leaves the background out, unless `background` is set,
and frames are normalised by their own statistics. The method is one loss; the algorithm is its feed, `OnDemand`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method
from mulde.metrics.segmentation import UNKNOWN, mean_iou
from mulde.vision.ablation.study import StreamCase
from mulde.vision.models.jitnet import JITNetwork, Statistics
from mulde.vision.models.seeding import seeded
from mulde.vision.training.session import OptimizerSteps, Session, Training
from mulde.vision.video.dense_labels import Asked
from mulde.vision.video.generated import drifting
from mulde.vision.video.labelled import FrameBatch, LabelledFrames, rendered, scrambled, standardised
from mulde.vision.video.predictions import Predictions
from mulde.vision.video.reading import ClassMap, Image, LabelledVideo, Video


@dataclass(frozen=True, kw_only=True)
class Rules:
    """When the teacher is asked, and what the student makes of it; the paper's values."""

    target: float = 0.8
    """Mean IoU with the teacher that is good enough; the paper compares 0.7, 0.8 and 0.9."""
    max_updates: int | None = 8
    """Updates on one frame at most; none: as many as it takes."""
    stride_min: int = 8
    """Frames from one question to the next while the student has trouble."""
    stride_max: int = 64
    """The same while the student does well."""
    box_weight: float = 5.0
    """Weight of pixels in and around an object's box."""
    box_margin: float = 0.15
    """How far a box is enlarged on each side, as a share of that side's length."""
    background: bool = False
    """Count the background as a class in the mean IoU."""
    width: float = 0.5
    """Width of the network; 0.5 is the authors'."""
    statistics: Statistics = "frame"
    """Normalise by each frame's own statistics, or by running ones outside training."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride_min <= self.stride_max:
            raise ValueError(
                f"strides are counted in frames and need 1 <= least <= largest; got {self.stride_min} to "
                f"{self.stride_max}"
            )


@dataclass(frozen=True, kw_only=True)
class Config(Rules):
    """The paper's values; its students are pre-trained on COCO instead of generated frames."""

    shuffled: bool = False
    """Sabotage: the teacher's labels have their pixels in random places."""
    pretraining: Training = field(default_factory=lambda: Training(20, 8, "none", OptimizerSteps("adam", 3e-3)))
    """On generated frames; 0 epochs leave it out."""
    training: Training = field(
        default_factory=lambda: Training(1, 1, "none", OptimizerSteps("sgd", 0.01, momentum=0.9))
    )
    """On the stream: one pass, a batch is one frame."""


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """mean_xy W_xy CE_xy over the pixels with a label; logits (b, k, h, w), labels and weights (b, h, w)."""
    losses = functional.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
    return (weights * losses).sum() / (labels != UNKNOWN).sum().clamp_min(1)


def next_stride(stride: int, good: bool, rules: Rules) -> int:
    """Twice as long if the student was good enough, half as long if not, within bounds."""
    return min(2 * stride, rules.stride_max) if good else max(stride // 2, rules.stride_min)


class JITNet(Method):
    """One learner, `student`."""

    def __init__(self, student: JITNetwork) -> None:
        super().__init__()
        self.student = student

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: FrameBatch, clock: Clock) -> dict[str, Tensor]:
        logits = self.student(batch.images).logits
        return {"student/teacher": weighted_cross_entropy(logits, batch.labels, batch.weights)}

    def predict(self, batch: FrameBatch) -> Tensor:
        """Logits (b, k, h, w)."""
        return self.student(batch.images).logits

    def classes(self, image: Image) -> ClassMap:
        """The most likely class of every pixel, by the network in eval mode."""
        parameter, was_training = next(self.parameters()), self.training
        self.eval()
        with torch.no_grad():
            logits = self.student(standardised(image[None]).to(parameter)).logits
        self.train(was_training)
        found: ClassMap = logits[0].argmax(0).cpu().numpy()
        return found

    def exported(self) -> dict[str, nn.Module]:
        """The student as it is at the end of the stream."""
        return {"student": self.student}


@dataclass
class Position:
    """Where a stream is; all of it is in checkpoints."""

    frame: int = 0
    """Frames that have been delivered."""
    stride: int = 1
    """Frames from the last question to the next."""
    wait: int = 0
    """Frames to go before the teacher is asked again."""
    updates: int = 0
    """Updates made on the present frame."""
    arrival: float | None = None
    """How good the student was before them."""
    labels: Tensor | None = None
    """What the teacher says about the present frame; kept, so that it is not asked again."""
    weights: Tensor | None = None
    """Weights of the labels."""
    seconds: float = 0.0
    """How long it took to say it."""
    visits: list[dict[str, Any]] = field(default_factory=list)
    """What happened at each question: frame, stride that led there, updates, mean IoU before and after, seconds."""


class OnDemand:
    """A feed that is a conversation: it delivers a frame as often as the student still has to learn from it.

    Between two batches the trainer improves the student, so each look at it sees another one. The classes of every
    frame are put into `sink` on the way.
    """

    def __init__(self, video: Video, teacher: Asked, method: JITNet, rules: Rules, sink: Predictions) -> None:
        self.images, self.teacher, self.method, self.rules, self.sink = video, teacher, method, rules, sink
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Begin at the first frame."""
        self.at = Position(stride=self.rules.stride_min)

    def divide(self, rank: int, processes: int) -> None:
        """Refused: a frame is one batch, and what comes next depends on what the student made of it."""
        raise ValueError(f"a stream is followed by one process, frame by frame; here are {processes}: start one")

    def state_dict(self) -> dict[str, Any]:
        """The position, labels of the present frame included."""
        return {**vars(self.at), "visits": list(self.at.visits)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.at = Position(**state)

    def __iter__(self) -> Iterator[FrameBatch]:
        at = self.at
        for image in self.images.frames(at.frame):
            if at.wait:
                at.wait -= 1
                found = self.method.classes(image)
            else:
                found = yield from self._lesson(image)
            self.sink.put(at.frame, found)
            at.frame += 1
        self.sink.finish(at.visits)

    def _lesson(self, image: Image) -> Generator[FrameBatch, None, ClassMap]:
        """Ask the teacher, train until good enough or out of patience, choose the stride; the final classes."""
        at, rules = self.at, self.rules
        batch = self._asked(image)
        found, accuracy = self._judged(image, batch)
        at.arrival = accuracy if at.arrival is None else at.arrival
        while accuracy < rules.target and (rules.max_updates is None or at.updates < rules.max_updates):
            at.updates += 1
            yield batch
            found, accuracy = self._judged(image, batch)
        visit = {"frame": at.frame, "stride": at.stride, "updates": at.updates, "seconds": at.seconds}
        at.visits.append({**visit, "before": at.arrival, "after": accuracy})
        at.stride = next_stride(at.stride, accuracy >= rules.target, rules)
        at.wait, at.updates, at.arrival, at.labels, at.weights = at.stride - 1, 0, None, None, None
        return found

    def _asked(self, image: Image) -> FrameBatch:
        at = self.at
        if at.labels is None or at.weights is None:
            before = self.teacher.seconds
            labels, weights = self.teacher(image, at.frame)
            at.labels, at.weights = torch.from_numpy(labels), torch.from_numpy(weights)
            at.seconds = self.teacher.seconds - before
        return FrameBatch(standardised(image[None]), at.labels[None], at.weights[None])

    def _judged(self, image: Image, batch: FrameBatch) -> tuple[ClassMap, float]:
        """The student's classes and their agreement with the teacher's."""
        found = self.method.classes(image)
        return found, mean_iou(found, batch.labels[0].numpy(), self.teacher.classes, self.rules.background)


def build(
    config: Config, video: LabelledVideo, student: JITNetwork | None = None, sink: Predictions | None = None
) -> tuple[JITNet, OnDemand]:
    """A student (fresh unless given) and a stream of which the teacher knows the truth."""
    method = JITNet(student or fresh(config, video.classes, video.seed))
    teacher = scrambled(rendered(video)) if config.shuffled else rendered(video)
    asked = Asked(teacher, video.classes, config.box_weight, config.box_margin)
    return method, OnDemand(video, asked, method, config, Predictions() if sink is None else sink)


def fresh(rules: Rules, classes: int, seed: int) -> JITNetwork:
    """An untrained student."""
    with seeded(seed, "student"):
        return JITNetwork(classes, rules.width, rules.statistics)


def run(config: Config, video: LabelledVideo, session: Session) -> dict[str, float]:
    """Pre-train on generated frames, then follow the video; how well, and at which price."""
    student = fresh(config, video.classes, video.seed)
    if config.pretraining.epochs:
        kinds = min(2, video.classes - 1)
        seen = drifting(240, min(96, video.images.shape[1]), cuts=range(6, 240, 6), kinds=kinds, seed=9999 + video.seed)
        feed = LabelledFrames(seen, config.pretraining.batch_size, video.seed)
        session.fit(JITNet(student), feed, config.pretraining, name="pretraining")
    sink = Predictions(None if session.folder is None else session.folder / "predictions")
    method, stream = build(config, video, student, sink)
    session.fit(method, stream, config)
    return outcome(video, sink, config)


def outcome(video: LabelledVideo, sink: Predictions, rules: Rules) -> dict[str, float]:
    """Mean IoU with the truth over frames on which the teacher was not asked (over all where it always was), share of
    the others, updates.
    """
    visits = sink.visits
    asked = {visit["frame"] for visit in visits}
    judged = [number for number in range(len(video)) if number not in asked] or range(len(video))
    quality = [mean_iou(sink[number], video.labels[number], video.classes, rules.background) for number in judged]
    return {
        "iou": sum(quality) / len(quality),
        "asked": len(asked) / len(video),
        "updates": float(sum(visit["updates"] for visit in visits)),
    }


VERIFICATION = StreamCase(
    config=Config(
        width=0.125,
        pretraining=Training(8, 8, "none", OptimizerSteps("adam", 3e-3)),
    ),
    arms={
        "baseline": {"max_updates": 0},
        "method": {},
        "term at zero": {"stride_min": 16, "stride_max": 16},
        "sabotage": {"shuffled": True},
    },
    metric="iou",
    data="drift:300,size=64",
    paper_data="frames:FOLDER,masks=FOLDER,size=720",
    notes="generated frames of three scenes instead of 30 streams of half an hour; the teacher knows the truth but for "
    "a pixel; a quarter of the authors' channels; baseline: the pre-trained student without updates, term at zero: a "
    "fixed stride of 16",
)
