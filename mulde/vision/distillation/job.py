"""The main job: check, train by a method, evaluate, and write the run folder.

    settings.yaml                   resolved options
    fit/  teacher/  rounds/ ...     stages of the training: log, checkpoints, record
    model.json  model.safetensors   the student
    NAME/                           other networks that are kept, each as a student
    pictures/                       pictures of the training, for example generated ones
    summary.json                    data, metrics, sizes, environment

The same call again continues an interrupted run and reuses a finished one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from torch import nn

from mulde.engine import Clock, Method, Record
from mulde.engine.checkpoint import ConfigurationChanged
from mulde.engine.device import resolved
from mulde.engine.method import Evaluation
from mulde.engine.progress import Progress, Report, silent
from mulde.engine.protocol import Task, Trained
from mulde.errors import UsageError
from mulde.files import make_folder
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.distillation.checks import check_data, check_options, rehearse
from mulde.vision.distillation.data import PARTS_SEED
from mulde.vision.distillation.method_file import method_name
from mulde.vision.distillation.summary import SIZES, rows_of, summarise
from mulde.vision.storage.sheet import FOLDER, write_sheet
from mulde.vision.storage.student import Student, save_student
from mulde.vision.training.budget import Budget
from mulde.vision.training.chance import accuracy_above_chance
from mulde.vision.training.detection import train_on_boxes
from mulde.vision.training.evaluation import network_metrics
from mulde.vision.training.run import networks_of, task_of, train
from mulde.vision.training.session import Session, train_on_labels

ADVICE = "train for more epochs, with another learning rate or on more images, and check the labels"
MAIN_METRIC: Mapping[Task, str] = {"classify": "accuracy", "embed": "accuracy", "detect": "ap"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, on what, and where."""

    method: ModuleType
    """Module of a method file, as `open_method` returns it."""
    config: Any
    """Its options."""
    data: Split[Any]
    """Images, standardised as the student gets them."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Networks by role in place of new ones; they are copied, never changed."""
    source: str = ""
    """Where the data come from, as after --data; empty for data in memory."""
    folder: Path | None = None
    """Run folder; None writes nothing."""
    batches: Any = None
    """Batches of the user's in place of those of the method."""
    select: Literal["final", "valid"] = "final"
    """Weights that are kept: the final ones, or the best on the validation part."""
    eval_every: int = 1
    """Epochs between two evaluations on the validation part."""
    baseline: bool = False
    """Whether the same student is also trained on the labels alone."""
    keep: tuple[str, ...] = ()
    """Other networks that are saved, by name."""
    budget: float | None = None
    """Seconds for all stages."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""
    device: str = "auto"
    """As for `mulde.engine.device.resolved`."""
    bar: bool | None = None
    """Show a progress bar; None: in terminals and notebooks only."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """All options by name, for settings.yaml."""
    progress: Report = silent
    """Receives messages."""

    @property
    def name(self) -> str:
        """Name of the method."""
        return method_name(self.method)

    @property
    def task(self) -> Task:
        """Task of the student."""
        return task_of(self.method)


@dataclass(frozen=True)
class Outcome:
    """Result of a job."""

    student: Student
    """The trained network with its input."""
    trained: Trained
    """What the method returned."""
    metrics: Mapping[str, Mapping[str, float]]
    """Metrics of the student by part, "valid" and "test"."""
    rows: list[dict[str, Any]]
    """A row for the student, the baseline and each other network: size and test metrics."""
    summary: Mapping[str, Any]
    """Content of summary.json."""


def distil(job: Job) -> Outcome:
    """Run a job.

    Raises
    ------
    UsageError
        For data, options or networks that do not fit each other, before the first step; or a folder that holds a run
        with other settings.
    """
    check_options(job.method, job.config, baseline=job.baseline, device=job.device)
    check_data(job.method.NEEDS, job.data, job.source or "the data")
    hidden = _without_test(job.data)
    session = _session(job, hidden)
    networks = networks_of(job.method, job.config, hidden, session, job.given)
    rehearse(job.method, job.config, hidden, networks, job.batches)
    initial = copy.deepcopy(networks["student"]) if job.baseline else None
    try:
        baseline = None if initial is None else _baseline(job, initial, session)
        trained = train(job.method, job.config, hidden, session, networks)
    except ConfigurationChanged as error:
        raise error.of_run(job.folder) from error
    return _finished(job, trained, baseline)


def _session(job: Job, data: Split[Any]) -> Session:
    rounds = "partition" in job.method.NEEDS.controls
    validate = None if rounds or not len(data.valid) else validation(data, job.task)
    metric = f"valid/{MAIN_METRIC[job.task]}"
    if job.select == "valid" and validate is None:
        why = "rounds keep the mean of the last one" if rounds else "there is no validation part"
        raise UsageError(f"--select valid keeps the best weights on the validation part, but {why}; leave it out")
    return Session(
        data.seed, job.folder, device=resolved(job.device), validate=validate, eval_every=job.eval_every,
        select=(metric, "max") if job.select == "valid" else None, budget=Budget(job.budget), batches=job.batches,
        checkpoint_every=job.checkpoint_every,
        bar=job.bar, progress=job.progress, title=job.name,
    )  # fmt: skip


def validation(data: Split[Any], task: Task) -> Evaluation:
    """Metrics on the validation part of the network that a method exports first."""
    part = dataclasses.replace(data, test=data.valid)

    def evaluate(method: Method, clock: Clock) -> dict[str, float]:
        network = next(iter(method.exported().values()))
        return {f"valid/{name}": value for name, value in network_metrics(network, task, part).items()}

    return evaluate


def _without_test(data: Split[Any]) -> Split[Any]:
    """The data of a training: methods that look at the test part, for example after each round, get another one."""
    return dataclasses.replace(data, test=data.valid if len(data.valid) else data.train)


def _baseline(job: Job, network: nn.Module, session: Session) -> nn.Module:
    """The same student trained on labels alone, with the options of the main fit."""
    if hasattr(network, "heads"):
        raise UsageError(f"--baseline: the student of {job.name} has further heads; train it with --method supervised")
    fit: Callable[..., Record] = train_on_boxes if isinstance(job.data.train, DetectionSet) else train_on_labels
    fit(network, job.data.train, job.config.training, session, job.data.seed, "baseline", fraction=0.3)
    return network


def _finished(job: Job, trained: Trained, baseline: nn.Module | None) -> Outcome:
    """Evaluate, save and summarise."""
    networks = {"student": trained.student, **({} if baseline is None else {"baseline": baseline}), **trained.networks}
    _report_chance(job, trained)
    rows, metrics = rows_of(networks, trained.task, job.data), dict[str, dict[str, float]]()
    if len(job.data.valid):
        valid = dataclasses.replace(job.data, test=job.data.valid)
        metrics["valid"] = network_metrics(trained.student, trained.task, valid)
    if len(job.data.test):
        metrics["test"] = {name: value for name, value in rows[0].items() if name not in SIZES}
    about = {
        "method": job.name,
        "data": {
            "source": job.source,
            "name": job.data.train.name,
            "checksum": job.data.train.checksum(),
            "seed": PARTS_SEED,
        },
        "settings": dict(job.settings),
        "metrics": metrics,
    }
    student = _student(trained.student, trained.task, job.data)
    if job.folder is not None:
        for name in set(job.keep) & set(trained.networks):
            save_student(job.folder / name, _student(trained.networks[name], trained.task, job.data), about)
        for name, pictures in trained.pictures.items():
            make_folder(job.folder / FOLDER)
            write_sheet(job.folder / FOLDER / f"{name}.png", pictures)
        save_student(job.folder, student, about)
    figures = dict(trained.figures)
    summary = summarise(job.folder, about, job.task, job.data, rows, trained.record, figures)
    if missing := set(job.keep) - set(trained.networks):
        there = ", ".join(trained.networks) or "none"
        raise UsageError(f'--keep: {job.name} has no network called "{min(missing)}"; its other networks: {there}')
    if trained.record is not None and trained.record.reused:
        job.progress(Progress(job.name, f"  finished before and reused: {job.folder}"))
    return Outcome(student, trained, metrics, rows, summary)


def _report_chance(job: Job, trained: Trained) -> None:
    """Say where a classifier has learned nothing."""
    parts = ("test", "valid") if trained.task == "classify" else ()
    part = next((part for part in parts if (getattr(job.data, part).labels >= 0).any()), None)
    if part is None:
        return
    correct, above = accuracy_above_chance(trained.student, getattr(job.data, part))
    if not above:
        job.progress(Progress(job.name, f"the student is no better than chance on the {part} images (accuracy "
                                        f"{correct:.4f}); {ADVICE}"))  # fmt: skip


def _student(network: nn.Module, task: Task, data: Split[Any]) -> Student:
    channels, rows, columns = data.train.images.shape[1:]
    mean, deviation = (
        ((0.0,) * channels, (1.0,) * channels)
        if data.scale is None
        else (tuple(map(float, part.flatten())) for part in data.scale)
    )
    return Student(network.eval(), task, tuple(data.train.classes), channels, (rows, columns), mean, deviation)
