"""The method protocol: declarations of a method file, and results of `build` and `run`.

A method file has, in this order, a docstring with the claim, a diagram of the losses and the sources, and then

    Config                                   a frozen dataclass with a sentence per field; its fields become options
    FIELD                                    its field in lists and tables, one of `mulde.catalogue.Field`; optional
    RECOMMENDED                              values of options for the preset `recommended`; image methods only
    NEEDS                                    what the method needs: data, labels, networks by role (:class:`Needs`)
    Method                                   the method itself
    networks(config, data, given)            -> networks by role, seeded; a copy of a network in ``given`` takes its
                                             role
    build(config, data, networks)            -> the Method of the main fit, or a :class:`Setup` with its feed and
                                             evaluation
    run(config, data, session, networks)     -> :class:`Trained`; only where there is more than one fit
    STUDY                                    variants and metric for ``ablate``; image methods only

Only ``Method`` and ``build`` are required. Other names have no meaning outside the file. A ``run`` or ``build`` that is
imported from another method file makes the method of that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from mulde.engine.feed import Feed
from mulde.engine.learning import OptimizerFactory
from mulde.engine.method import Evaluation, Method
from mulde.engine.record import Record

Data = Literal["graph", "images", "boxes", "video"]
Output = Literal["scores", "logits", "pooled", "stages", "detections", "class maps"]
Task = Literal["rank", "classify", "detect", "segment", "embed"]
Control = Literal["order", "views", "partition"]


@dataclass(frozen=True)
class Role:
    """A network that a method needs."""

    output: Output
    """Output that the method reads from the network."""
    least: int = 1
    """Fewest networks in this role; 0 if the role is optional."""
    most: int | None = 1
    """Most networks in this role; None: any number."""
    instead: Mapping[tuple[str, str], Output] = field(default_factory=dict)
    """Outputs that are read in place of `output` by options of the method: {("soft", "rkd"): "pooled"}."""

    def reads(self, config: Any) -> Output:
        """Output that the method reads with these options."""
        for (option, value), output in self.instead.items():
            if getattr(config, option, None) == value:
                return output
        return self.output


@dataclass(frozen=True)
class Needs:
    """What a method needs."""

    data: Data
    """Kind of data."""
    roles: Mapping[str, Role]
    """Networks by role."""
    labels: Literal["all", "few", "none"] = "all"
    """How much of the training data has labels."""
    controls: frozenset[Control] = frozenset()
    """Properties of the batches that the method controls, so that a DataLoader of the user cannot replace its feed."""
    domains: bool = False
    """Whether the training data come from several domains, which are known."""
    reads_training_images: bool = True
    """False: the method reads only the number of classes and the shape of an image, if its other networks are given."""


@dataclass(frozen=True)
class Setup:
    """Arguments of `Session.fit`: a method with its feed, evaluation and optimizers."""

    method: Method
    """The method, with its networks."""
    feed: Feed | None = None
    """Batches; None: the default feed of the kind of data."""
    evaluate: Evaluation | None = None
    """Validation metrics; None: the default evaluation of the task."""
    optimizers: Mapping[str, OptimizerFactory] | None = None
    """One for each learner; None: that of the training options for all learners."""


@dataclass(frozen=True)
class Trained:
    """Result of training a method."""

    student: nn.Module
    """The primary network, which is kept."""
    task: Task
    """Task of the student; it determines evaluation, prediction and the model card."""
    networks: Mapping[str, nn.Module] = field(default_factory=dict)
    """Other networks that can be kept, by name."""
    record: Record | None = None
    """Record of the main fit."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Figures that only the training can measure, for example forgetting over rounds."""
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    """Pictures (n, channels, h, w) in [0, 1] that are kept for the report, by name, for example generated ones."""


class Session(Protocol):
    """Runs the fits of a method in one folder; finished fits are reused, interrupted ones continued."""

    @property
    def seed(self) -> int:
        """Seed of the fits."""

    @property
    def folder(self) -> Path | None:
        """Folder of the run; None: nothing is written."""

    def report(self, text: str) -> None:
        """Pass a message about the run to the person who started it."""

    def fit(self, setup: Setup | Method, config: Any, *, name: str = "fit") -> Record:
        """Train one stage; afterwards the method has its final weights."""


def as_setup(built: Setup | Method) -> Setup:
    """The return value of a method's ``build`` as a setup."""
    return built if isinstance(built, Setup) else Setup(built)
