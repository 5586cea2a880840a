"""JITNet: online distillation of a segmentation network on a video.

    frame ─▶ student ─▶ classes of all pixels, for every frame
    every so many frames: teacher ─▶ labels; student good enough? double the stride to the next query
                                             else train on this frame, at most 8 updates; still not good? halve it

    L = mean over pixels of W · CE(student, teacher's label), W = 5 in and around objects, 1 elsewhere

Source: Mullapudi, Chen, Zhang, Ramanan, Fatahalian, "Online Model Distillation for Efficient Video Inference",
ICCV 2019, arXiv 1812.02699. Of the repository josephch405/jit-masker, which is another paper's, nothing is taken:
there the strides are reversed. Our reading: the mean IoU leaves out the background, unless `background` is set,
and frames are normalised by their own statistics. The method is one loss; the algorithm is its feed, `OnDemand`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, NonNegative, Positive, Whole
from mulde.engine import Clock, Method
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.metrics.segmentation import UNKNOWN, mean_iou
from mulde.vision.ablation.study import StreamStudy
from mulde.vision.models.initial import by_role
from mulde.vision.models.jitnet import JITNetwork, Statistics
from mulde.vision.models.seeding import seeded
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from mulde.vision.video.dense_labels import QueriedTeacher
from mulde.vision.video.generated import drifting
from mulde.vision.video.labelled import FrameBatch, LabelledFrames, rendered, scrambled, standardised
from mulde.vision.video.predictions import Predictions
from mulde.vision.video.reading import ClassMap, Image, LabelledVideo, Video


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Queries to the teacher and training on its labels; the paper's values."""

    target: NonNegative = 0.8
    """Mean IoU with the teacher at which training on a frame stops; the paper compares 0.7, 0.8 and 0.9."""
    max_updates: Whole | None = 8
    """Largest number of updates on one frame; none: no limit."""
    stride_min: Count = 8
    """Smallest number of frames between two queries."""
    stride_max: Count = 64
    """Largest number of frames between two queries."""
    box_weight: NonNegative = 5.0
    """Weight of pixels in and around an object's box."""
    box_margin: NonNegative = 0.15
    """Enlargement of a box on each side, as a fraction of that side's length."""
    background: bool = False
    """Include the background in the mean IoU."""
    width: Positive = 0.5
    """Width factor of the network; the authors' is 0.5."""
    statistics: Statistics = "frame"
    """Normalisation. frame: by the statistics of each frame. running: by running statistics outside training."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride_min <= self.stride_max:
            raise UsageError(
                f"strides are counted in frames and need 1 <= least <= largest; got {self.stride_min} to "
                f"{self.stride_max}"
            )


@dataclass(frozen=True, kw_only=True)
class Config(Rules):
    """The paper's values; its students are pre-trained on COCO, ours on generated frames."""

    shuffled: bool = False
    """Control: the pixels of the teacher's labels are shuffled."""
    training: Training = field(
        default_factory=lambda: Training(1, 1, "none", OptimizerSteps("sgd", 0.01, momentum=0.9))
    )
    """Training on the stream: one pass, a batch is one frame."""
    pretraining: Training = field(default_factory=lambda: Training(20, 8, "none", OptimizerSteps("adam", 3e-3)))
    """Training on generated frames; 0 epochs leave it out."""


FIELD = "segmentation of video"
NEEDS = Needs("video", {"student": Role("class maps")}, controls=frozenset({"order"}))


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """mean_xy W_xy CE_xy over the pixels with a label; logits (b, k, h, w), labels and weights (b, h, w)."""
    losses = functional.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
    return (weights * losses).sum() / (labels != UNKNOWN).sum().clamp_min(1)


def next_stride(stride: int, good: bool, rules: Rules) -> int:
    """Double the stride if the student was good enough, half of it otherwise, within bounds."""
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
        """The student at the end of the stream."""
        return {"student": self.student}


@dataclass
class Position:
    """State of a stream; all of it is saved in checkpoints."""

    frame: int = 0
    """Frames that have been delivered."""
    stride: int = 1
    """Frames from the last query to the next."""
    wait: int = 0
    """Frames before the next query."""
    updates: int = 0
    """Updates made on the present frame."""
    arrival: float | None = None
    """Mean IoU of the student before them."""
    labels: Tensor | None = None
    """The teacher's labels of the present frame; saved, so that a continued stream does not query it again."""
    weights: Tensor | None = None
    """Weights of the labels."""
    seconds: float = 0.0
    """Duration of the query."""
    queries: list[dict[str, Any]] = field(default_factory=list)
    """One entry per query: frame, stride before it, updates, mean IoU before and after them, seconds."""


class OnDemand:
    """A feed that queries the teacher and delivers a frame until the student is good enough on it.

    The trainer updates the student between two batches, so every evaluation of the student is a new one. The predicted
    classes of every frame are put into `sink`.
    """

    def __init__(self, video: Video, teacher: QueriedTeacher, method: JITNet, rules: Rules, sink: Predictions) -> None:
        self.images, self.teacher, self.method, self.rules, self.sink = video, teacher, method, rules, sink
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Begin at the first frame."""
        self.at = Position(stride=self.rules.stride_min)

    def divide(self, rank: int, processes: int) -> None:
        """Raises UsageError: a frame is one batch, and the next batch depends on the student's update."""
        raise UsageError(f"a stream is followed by one process, frame by frame; got {processes}; start one")

    def state_dict(self) -> dict[str, Any]:
        """The position, labels of the present frame included."""
        return {**vars(self.at), "queries": list(self.at.queries)}

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
                found = yield from self._train_on(image)
            self.sink.put(at.frame, found)
            at.frame += 1
        self.sink.finish(at.queries)

    def _train_on(self, image: Image) -> Generator[FrameBatch, None, ClassMap]:
        """Query the teacher, train on the frame, choose the next stride; returns the final classes."""
        at, rules = self.at, self.rules
        batch = self._queried(image)
        found, accuracy = self._evaluated(image, batch)
        at.arrival = accuracy if at.arrival is None else at.arrival
        while accuracy < rules.target and (rules.max_updates is None or at.updates < rules.max_updates):
            at.updates += 1
            yield batch
            found, accuracy = self._evaluated(image, batch)
        query = {"frame": at.frame, "stride": at.stride, "updates": at.updates, "seconds": at.seconds}
        at.queries.append({**query, "before": at.arrival, "after": accuracy})
        at.stride = next_stride(at.stride, accuracy >= rules.target, rules)
        at.wait, at.updates, at.arrival, at.labels, at.weights = at.stride - 1, 0, None, None, None
        return found

    def _queried(self, image: Image) -> FrameBatch:
        at = self.at
        if at.labels is None or at.weights is None:
            before = self.teacher.seconds
            labels, weights = self.teacher(image, at.frame)
            at.labels, at.weights = torch.from_numpy(labels), torch.from_numpy(weights)
            at.seconds = self.teacher.seconds - before
        return FrameBatch(standardised(image[None]), at.labels[None], at.weights[None])

    def _evaluated(self, image: Image, batch: FrameBatch) -> tuple[ClassMap, float]:
        """The student's classes and their mean IoU with the teacher's."""
        found = self.method.classes(image)
        return found, mean_iou(found, batch.labels[0].numpy(), self.teacher.classes, self.rules.background)


def new_student(rules: Rules, classes: int, seed: int) -> JITNetwork:
    """A student with initial weights."""
    with seeded(seed, "student"):
        return JITNetwork(classes, rules.width, rules.statistics)


def networks(config: Config, data: LabelledVideo, given: Mapping[str, Any]) -> dict[str, Any]:
    """The student."""
    return by_role(given, {"student": lambda: new_student(config, data.classes, data.seed)})


def build(config: Config, data: LabelledVideo, networks: Mapping[str, Any], sink: Predictions | None = None) -> Setup:
    """The student on a stream; the teacher returns the true labels, shifted by at most a pixel."""
    method = JITNet(networks["student"])
    teacher = scrambled(rendered(data)) if config.shuffled else rendered(data)
    queried = QueriedTeacher(teacher, data.classes, config.box_weight, config.box_margin)
    return Setup(method, OnDemand(data, queried, method, config, Predictions() if sink is None else sink))


def run(config: Config, data: LabelledVideo, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Pre-train the student on generated frames, then follow the video. Figures as in `quality`."""
    student = networks["student"]
    if config.pretraining.epochs:
        kinds = min(2, data.classes - 1)
        seen = drifting(240, min(96, data.images.shape[1]), cuts=range(6, 240, 6), kinds=kinds, seed=9999 + data.seed)
        feed = LabelledFrames(seen, config.pretraining.batch_size, data.seed)
        session.fit(Setup(JITNet(student), feed), config.pretraining, name="pretraining", fraction=0.5)
    sink = Predictions(None if session.folder is None else session.folder / "predictions")
    record = session.fit(build(config, data, networks, sink), config)
    return Trained(student, "segment", record=record, figures=quality(data, sink, config))


def quality(video: LabelledVideo, sink: Predictions, rules: Rules) -> dict[str, float]:
    """Mean IoU with the true labels, fraction of queried frames, and number of updates.

    The mean IoU is over frames without a query to the teacher, or over all where every frame was queried.
    """
    queried = {query["frame"] for query in sink.queries}
    evaluated = [number for number in range(len(video)) if number not in queried] or range(len(video))
    found = [mean_iou(sink[number], video.labels[number], video.classes, rules.background) for number in evaluated]
    return {
        "iou": sum(found) / len(found),
        "query_fraction": len(queried) / len(video),
        "updates": float(sum(query["updates"] for query in sink.queries)),
    }


STUDY = StreamStudy(
    config=Config(
        width=0.125,
        pretraining=Training(8, 8, "none", OptimizerSteps("adam", 3e-3)),
    ),
    variants={
        "baseline": {"max_updates": 0},
        "method": {},
        "weight 0": {"stride_min": 16, "stride_max": 16},
        "control": {"shuffled": True},
    },
    metric="iou",
    data="drift:300,size=64",
    paper_data="frames:FOLDER,masks=FOLDER,size=720",
    notes="generated frames of three scenes instead of 30 streams of half an hour; the teacher's labels are true, "
    "shifted by at most a pixel; a quarter of the authors' channels",
    meaning="baseline: the pre-trained student without updates; weight 0: a fixed stride of 16",
)
