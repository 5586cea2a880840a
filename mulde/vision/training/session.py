"""Training options of image methods, the session that runs their fits, and training on labels as one stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, NonNegative, Positive, Range, Whole
from mulde.engine import Clock, Method, OptimizerSpec, Record, Trainer
from mulde.engine.method import Evaluation
from mulde.engine.progress import Progress, Report, silent
from mulde.engine.protocol import Output, Setup, as_setup
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.files import read_json
from mulde.vision.data.augmentation import Augmentation, compose, crop, erase, flip, of_pixels, shift, small_views
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet
from mulde.vision.data.kornia_steps import kornia_steps
from mulde.vision.training.budget import Budget
from mulde.vision.training.cached import LIMIT, CachedOutputs, Outputs
from mulde.vision.training.feeds import BoxFeed, ImageBatch, ImageFeed, Order, shuffled

Beta = Annotated[float, Range(0, 1)]
"""Type of a decay rate of moments."""


@dataclass(frozen=True)
class OptimizerSteps(OptimizerSpec):
    """Optimizer and learning rate."""

    lr: Positive = 1e-3
    """Highest learning rate."""
    weight_decay: NonNegative = 0.0
    """Weight decay: decoupled in adamw, an L2 penalty in the others."""
    momentum: NonNegative = 0.0
    """Momentum; sgd and lars."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the two moments; adam, adamw and radam."""
    final_fraction: NonNegative = 0.0
    """Final learning rate as a fraction of the highest; linear and cosine."""
    step_epochs: Count = 30
    """Epochs between two decays; step."""
    step_factor: NonNegative = 0.1
    """Factor of each decay; step."""
    warmup_epochs: NonNegative = 0.0
    """Epochs of linear warm-up from 0; the warm-up multiplies the schedule."""
    milestones: tuple[Whole, ...] = ()
    """Epochs after which the learning rate decays."""
    milestone_factor: NonNegative = 0.1
    """Factor of the learning rate at each milestone."""

    def rate(self, clock: Clock) -> float:
        """Factor of the learning rate at this moment."""
        return super().rate(clock) * self.milestone_factor ** sum(clock.epoch >= at for at in self.milestones)


Augment = Literal["none", "flip", "shift", "shift-flip", "cutout", "small", "crop-flip", "crop-flip-jitter"]
"""Augmentation of training images, see `Training.augment`."""


@dataclass(frozen=True)
class Training:
    """Epochs, batches, augmentation and optimiser of a training."""

    epochs: Whole = 200
    """Passes over the training images."""
    batch_size: Count = 128
    """Images per update."""
    augment: Augment = "shift-flip"
    """Augmentation. flip: mirror images. shift: move them by an eighth of their size. shift-flip: both. cutout: both,
    and erase a square. small: move images, change their contrast and erase parts. crop-flip: cut out 0.05 to 1 of the
    area, enlarge and mirror it. crop-flip-jitter: also change colours as SimCLR does. Images with boxes: none or
    flip."""
    optimizer: OptimizerSteps = field(
        default_factory=lambda: OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, milestones=(60, 120, 160))
    )
    """Optimiser and learning rate."""
    kornia: str = ""
    """Augmentations of kornia that follow `augment`, joined by +, for example
    RandomRotation(15)+RandomGrayscale(p=0.2); not for images with boxes."""

    def shortened(self, fraction: float) -> Training:
        """The same training with this fraction of the epochs."""
        return replace(self, epochs=max(1, round(fraction * self.epochs)))

    def feed(self, images: ImageSet, seed: int, order: Order = shuffled, whole: bool = False) -> ImageFeed:
        """Batches of images. whole: batches are never divided among processes, see `Feed`."""
        steps = [self._augmentation(images)] if self.augment != "none" else []
        if self.kornia:
            height, width = images.images.shape[2:]
            steps.append(of_pixels(kornia_steps(self.kornia, images.channels, (height, width)), images.scale))
        augment = compose(*steps) if steps else None
        return ImageFeed(images, self.batch_size, seed=seed, order=order, augment=augment, whole=whole)

    def _augmentation(self, images: ImageSet) -> Augmentation:
        size = images.images.shape[-1]
        pad = max(1, size // 8)
        changes: dict[str, Callable[[], Augmentation]] = {
            "flip": lambda: flip,
            "shift": lambda: shift(pad),
            "shift-flip": lambda: compose(shift(pad), flip),
            "cutout": lambda: compose(shift(pad), flip, erase(1.0)),
            "small": lambda: small_views(pad, mirror=False),
            "crop-flip": lambda: of_pixels(crop(size, 0.05), images.scale),
            "crop-flip-jitter": lambda: of_pixels(crop(size, 0.05, colour_jitter=1.0), images.scale),
        }
        return changes[self.augment]()

    def outputs_of(self, network: nn.Module, images: ImageSet, output: Output) -> Outputs:
        """What a method reads of a frozen network for these images; cached where nothing is augmented."""
        if self.augment != "none" or self.kornia:
            return Outputs(network)
        return CachedOutputs(network, images, output, self.batch_size, LIMIT)

    def box_feed(self, images: DetectionSet, seed: int) -> BoxFeed:
        """Batches of images with boxes.

        Raises
        ------
        UsageError
            For an augmentation that would move the boxes.
        """
        if self.augment not in ("none", "flip") or self.kornia:
            raise UsageError(
                'images with boxes can be mirrored ("flip") or left as they are ("none"); got augment='
                f"{self.augment}{', kornia=' + self.kornia if self.kornia else ''}"
            )
        return BoxFeed(images, self.batch_size, seed=seed, mirror=self.augment == "flip")

    def default_feed(self, data: Any) -> ImageFeed | BoxFeed:
        """Batches of the training part of a split, in shuffled order."""
        if isinstance(data.train, DetectionSet):
            return self.box_feed(data.train, data.seed)
        return self.feed(data.train, data.seed)


ONE_COMPUTER: dict[str, Any] = {
    "epochs": 60,
    "batch_size": 64,
    "augment": "shift-flip",
    "optimizer": "sgd",
    "lr": 0.05,
    "weight_decay": 5e-4,
    "schedule": "cosine",
    "milestones": (),
}
"""Options of a training that one computer finishes with small images; the learning rate falls to 0 along a cosine."""


@dataclass(frozen=True)
class Session:
    """Runs the fits of a method in one folder; finished fits are reused, interrupted ones continued."""

    seed: int = 0
    """Seed of the trainings; initial weights and the order of images follow the seed of the data."""
    folder: Path | None = None
    """Folder of the fits; None writes nothing."""
    common: Path | None = None
    """Folder of stages that all variants of a study share, so that they are computed once."""
    device: str = "cpu"
    """Device of the computation."""
    validate: Evaluation | None = None
    """Metrics of the network that a method exports; None: a stage is evaluated only where its setup says how."""
    eval_every: int = 1
    """Epochs between two evaluations."""
    select: tuple[str, Literal["max", "min"]] | None = None
    """Metric whose best weights are kept; None: the final weights."""
    budget: Budget = field(default_factory=Budget)
    """Time of all stages."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""
    batches: Any = None
    """Batches of the user's that take the place of those of every stage; None: those of the stages."""
    bar: bool | None = False
    """Show a progress bar; None: in terminals and notebooks only."""
    progress: Report = silent
    """Receives messages and metrics."""
    title: str = ""
    """Name of the run in messages."""

    def shared(self) -> Session:
        """The session of a stage that does not depend on the variant; the trainer compares its settings."""
        return replace(self, folder=self.common or self.folder)

    def report(self, text: str) -> None:
        """Pass a message about the run to the person who started it."""
        self.progress(Progress(self.title, text))

    def fit(
        self, setup: Setup | Method, config: Any, *, data: Any = None, name: str = "fit", fraction: float = 1.0
    ) -> Record:
        """Train one stage and leave the method with its final weights.

        Several processes, started by torchrun, divide every batch, and each normalises activations by its own part.
        Batches of views or with boxes stay whole: every process computes the same, without a gain in speed.

        Parameters
        ----------
        setup
            A method, or a method with its feed and optimisers.
        config
            A `Training`, or a dataclass with a field `training`. It is written to the folder, with checksums of the
            data and of the initial weights, and compared when the fit is continued or reused.
        data
            Data of the default feed, where the setup has none.
        name
            Name of the stage and of its folder.
        fraction
            Fraction of the budget that is left, for this stage; below 1 where stages follow. A stage before the last
            that its budget has stopped is not continued when the budget is larger, because later ones depend on it.
        """
        setup = as_setup(setup)
        training: Training = config if isinstance(config, Training) else config.training
        feed: Any = self.batches
        if feed is None:
            feed = training.default_feed(data) if setup.feed is None else setup.feed
        evaluate = setup.evaluate or (self.validate if setup.method.exported() else None)
        trainer = Trainer(
            folder=self.folder,
            optimizers=setup.optimizers or training.optimizer,
            device=self.device,
            seed=self.seed,
            config={
                "method": type(setup.method).__name__,
                "data": feed.images.checksum(),
                "initial": fingerprint(setup.method),
                **asdict(config),
            },
            checkpoint_every=self.checkpoint_every,
            progress=self.bar,
            title=f"{self.title}, {name}" if self.title and name != "fit" else self.title or name,
        )
        record = trainer.fit(
            setup.method,
            feed,
            epochs=training.epochs,
            evaluate=None if evaluate is None else self._reported(evaluate, name),
            select=self.select if evaluate is self.validate and evaluate is not None else None,
            eval_every=self.eval_every,
            budget_seconds=self._limit(name, fraction),
            name=name,
        )
        self.budget.spend(record.seconds)
        self._report_end(name, record)
        return record

    def _limit(self, name: str, fraction: float) -> float | None:
        limit = self.budget.limit(fraction)
        finished = None if self.folder is None else read_json(self.folder / name / "record.json")
        return limit if finished is None or fraction == 1 or limit is None else float(finished["seconds"])

    def _report_end(self, name: str, record: Record) -> None:
        if record.reused:
            return
        why = "" if record.stopped_by == "epochs" else f", stopped by {record.stopped_by}"
        metrics = "".join(f"; {key} {value:.4f}" for key, value in record.best_metrics.items())
        self.report(f"  {name}: {record.epochs} epochs in {record.seconds:.0f} s{why}{metrics}")

    def _reported(self, evaluate: Evaluation, name: str) -> Evaluation:
        def evaluated(method: Any, clock: Clock) -> Mapping[str, float]:
            metrics = evaluate(method, clock)
            self.progress(Progress(name, "", clock.progress, metrics))
            return metrics

        return evaluated


class _OnLabels(Method):
    """Cross entropy; one learner, `network`. As a method of its own it is `supervised.py`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def learners(self) -> dict[str, Any]:
        return {"network": self.network.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        return {"network/hard": functional.cross_entropy(self.predict(batch), batch.labels)}

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, k)."""
        return self.network(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The network."""
        return {"student": self.network}


def train_on_labels(
    network: nn.Module,
    images: ImageSet,
    training: Training,
    session: Session,
    seed: int,
    name: str,
    *,
    fraction: float = 1.0,
) -> Record:
    """Train a network on labelled images as one stage.

    Parameters
    ----------
    network
        Any module that returns `Features`; trained in place.
    images
        Images with labels.
    training
        Length, batches and optimiser.
    session
        Where the stage is run.
    seed
        Seed of the order of the images.
    name
        Name of the stage and of its folder.
    fraction
        Fraction of the budget that is left, see `Session.fit`.
    """
    return session.fit(Setup(_OnLabels(network), training.feed(images, seed)), training, name=name, fraction=fraction)
