"""What every method is told alike: how long, with which batches and optimiser, where, which seed; and the stage
that most begin with, a network trained on labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method, OptimizerFactory, OptimizerSpec, Trainer
from mulde.vision.data.augmentation import Augmentation, compose, crop, erase, flip, of_pixels, shift, small_views
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet
from mulde.vision.training.feeds import Batches, BoxFeed, ImageBatch, ImageFeed, Order, shuffled


@dataclass(frozen=True)
class OptimizerSteps(OptimizerSpec):
    """An optimiser whose learning rate falls at named epochs."""

    milestones: tuple[int, ...] = ()
    """Epochs after which the learning rate falls."""
    milestone_factor: float = 0.1
    """What each of these falls multiplies it by."""

    def rate(self, clock: Clock) -> float:
        """What the learning rate is multiplied by at this moment."""
        return super().rate(clock) * self.milestone_factor ** sum(clock.epoch >= at for at in self.milestones)


Augment = Literal["none", "flip", "shift", "shift-flip", "cutout", "small", "crop-flip", "crop-flip-jitter"]
"""How training images are changed, see `Training.augment`."""


@dataclass(frozen=True)
class Training:
    """The part of a training that is not the idea of a method."""

    epochs: int = 200
    """Passes over the training images."""
    batch_size: int = 128
    """Images per update."""
    augment: Augment = "shift-flip"
    """Change training images: mirror them; move them by an eighth of their size; both; erase a square as well; "small":
    move them, change their contrast and erase parts (nothing is mirrored); cut out a part of 0.05 to 1 of their area,
    enlarge and mirror it; change its colours as SimCLR does as well. Images with boxes may be mirrored only."""
    optimizer: OptimizerSteps = field(
        default_factory=lambda: OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, milestones=(60, 120, 160))
    )
    """How networks are updated."""

    def shortened(self, share: float) -> Training:
        """This share of the epochs."""
        return replace(self, epochs=max(1, round(share * self.epochs)))

    def feed(self, images: ImageSet, seed: int, order: Order = shuffled, whole: bool = False) -> ImageFeed:
        """Batches of these images. whole: never divide one among processes, see `Feed`."""
        augment = None if self.augment == "none" else self._augmentation(images)
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

    def box_feed(self, images: DetectionSet, seed: int) -> BoxFeed:
        """Batches of these images with boxes."""
        if self.augment not in ("none", "flip"):
            raise ValueError(
                f'images with boxes can be mirrored ("flip") or left as they are ("none"), not {self.augment}'
            )
        return BoxFeed(images, self.batch_size, seed=seed, mirror=self.augment == "flip")


@dataclass(frozen=True)
class Session:
    """Where a method is trained, and with which seed."""

    seed: int = 0
    """Of the trainings; initial weights and order follow the seed of the split."""
    folder: Path | None = None
    """Where fits keep their files, so that finished ones are reused; None writes nothing."""
    common: Path | None = None
    """Where a stage that all arms of a seed begin with keeps its files, so that it is computed once for all."""
    device: str = "cpu"
    """Where to compute."""

    def shared(self) -> Session:
        """The session of such a stage; it must not depend on the arm, which the trainer checks."""
        return replace(self, folder=self.common or self.folder)

    def fit(
        self,
        method: Method,
        feed: Batches,
        config: Any,
        *,
        optimizers: Mapping[str, OptimizerFactory] | None = None,
        name: str = "fit",
    ) -> None:
        """Train one stage; the method keeps its final weights, never those that look best on test images.

        Several processes, started by torchrun, divide every batch, and each normalises activations by its own part, as
        usual. Batches of views or with boxes stay whole: all processes compute the same, which is right but not faster.

        config: a `Training`, or a dataclass with a field `training`; written beside the fit and compared when it
        is continued.
        optimizers: one for each learner; None: that of `config.training` for all.
        """
        training: Training = config if isinstance(config, Training) else config.training
        trainer = Trainer(
            folder=self.folder,
            optimizers=optimizers or training.optimizer,
            device=self.device,
            seed=self.seed,
            config={"method": type(method).__name__, "data": feed.images.checksum(), **asdict(config)},
            progress=False,
        )
        if trainer.device.processes > 1:
            feed.divide(trainer.device.rank, trainer.device.processes)
        trainer.fit(method, feed, epochs=training.epochs, name=name)


class _OnLabels(Method):
    """One learner, `network`, by cross entropy; as a method with a name of its own it is `supervised.py`."""

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


def train_on_labels(
    network: nn.Module, images: ImageSet, training: Training, session: Session, seed: int, name: str
) -> None:
    """Train a network on labelled images as a stage of its own, with the files of stage `name`.

    network: any module that answers with `Features`. seed: of the order of the images.
    """
    session.fit(_OnLabels(network), training.feed(images, seed), training, name=name)
