"""The session that runs the fits of an image method, and training on labels as one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method, Record, Trainer
from mulde.engine.method import Evaluation
from mulde.engine.progress import Progress, Report, silent
from mulde.engine.protocol import Setup, as_setup
from mulde.engine.provenance import fingerprint
from mulde.files import read_json
from mulde.vision.data.images import ImageSet
from mulde.vision.pictures.wording import counted
from mulde.vision.training.budget import Budget
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import Training


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
    forwards: list[int] = field(default_factory=list)
    """Images through the most used network of every fit, see `Record.cost`."""
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
    source: str | None = None
    """Checksum of the method's file, where it is one of the user's; an edited file is another method."""

    def shared(self) -> Session:
        """The session of a stage that does not depend on the variant; the trainer compares its settings."""
        return replace(self, folder=self.common or self.folder)

    def of_file(self) -> dict[str, str]:
        """The setting that changes when the user edits the method's file; none for methods of the package."""
        return {} if self.source is None else {"method_source": self.source}

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
        kept = bool(setup.method.exported())
        of_method = not isinstance(config, Training)
        evaluate = setup.evaluate or (self.validate if kept else None)
        trainer = Trainer(
            folder=self.folder,
            **(training.additions_for_trainer(of_method) if kept else {}),
            optimizers=setup.optimizers or training.optimizer,
            device=self.device,
            seed=self.seed,
            config={
                "method": type(setup.method).__name__,
                **(self.of_file() if of_method else {}),
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
        self.forwards.append(max(record.cost.get("forward_samples", {}).values(), default=0))
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
        self.report(f"  {name}: {counted(record.epochs, 'epoch')} in {record.seconds:.0f} s{why}{metrics}")

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
    setup = Setup(_OnLabels(network), training.feed(images, seed))
    return session.fit(setup, training, name=name, fraction=fraction)
