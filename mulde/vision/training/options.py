"""Training options of image methods: length, batches, augmentation and optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from torch import nn

from mulde.additions import Additions, Part
from mulde.config import Count, NonNegative, Positive, Range, Whole
from mulde.engine import Clock, OptimizerSpec
from mulde.engine.protocol import Output
from mulde.errors import UsageError
from mulde.vision.data.augmentation import Augmentation, compose, crop, erase, flip, of_pixels, shift, small_views
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet
from mulde.vision.data.kornia_steps import kornia_steps
from mulde.vision.training.cached import LIMIT, CachedOutputs, Outputs
from mulde.vision.training.cosub import CosubOptions
from mulde.vision.training.feeds import BoxFeed, ImageFeed, Order, shuffled
from mulde.vision.training.place_dropout import PlaceDropoutOptions
from mulde.vision.training.sd_dropout import SDDropoutOptions
from mulde.vision.training.watermark import Watermark

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
    augment_share: Part = 1.0
    """Probability that an image is augmented, by `augment` and `kornia` together; not for images with boxes."""

    additions: Additions = field(default_factory=Additions)
    """Averages, cycles and update rules."""
    sd_dropout: SDDropoutOptions = field(default_factory=SDDropoutOptions)
    """Self-distillation between dropout samples, added to any method."""
    cosub: CosubOptions = field(default_factory=CosubOptions)
    """Self-distillation between random submodels, added to any method."""
    place: PlaceDropoutOptions = field(default_factory=PlaceDropoutOptions)
    """Dropout of channels in one random stage per update, added to any method."""
    watermark: Watermark = field(default_factory=Watermark)
    """A watermark in the logits of the teacher."""

    def shortened(self, fraction: float) -> Training:
        """The same training with this fraction of the epochs."""
        return replace(self, epochs=max(1, round(fraction * self.epochs)))

    def additions_for_trainer(self, of_method: bool = True) -> dict[str, Any]:
        """Arguments of `Trainer` of the mechanisms that work with every method.

        of_method: False in a fit of another method (a teacher, a baseline), which has no second submodel and no cycles
        of the method's numbers.
        """
        found = self.additions.for_trainer(of_method)
        submodels = self.cosub.callbacks() if of_method else []
        own = [*self.sd_dropout.callbacks(), *submodels, *self.place.callbacks()]
        return {**found, "callbacks": [*own, *found["callbacks"]]}

    def feed(self, images: ImageSet, seed: int, order: Order = shuffled, whole: bool = False) -> ImageFeed:
        """Batches of images. whole: batches are never divided among processes, see `Feed`.

        Raises
        ------
        UsageError
            For a probability of augmentation where there is none.
        """
        if self.augment == "none" and not self.kornia:
            self._refuse_share("an augmentation; choose one with --augment or --kornia")
        steps = [self._augmentation(images)] if self.augment != "none" else []
        if self.kornia:
            height, width = images.images.shape[2:]
            steps.append(of_pixels(kornia_steps(self.kornia, images.channels, (height, width)), images.scale))
        augment = compose(*steps) if steps else None
        share = self.augment_share
        return ImageFeed(
            images, self.batch_size, seed=seed, order=order, augment=augment, augment_share=share, whole=whole
        )

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
        network = self.watermark.on(network, output)
        if self.augment != "none" or self.kornia:
            return Outputs(network)
        return CachedOutputs(network, images, output, self.batch_size, LIMIT)

    def box_feed(self, images: DetectionSet, seed: int) -> BoxFeed:
        """Batches of images with boxes.

        Raises
        ------
        UsageError
            For an augmentation that would move the boxes, or a probability of augmentation.
        """
        self._refuse_share("images without boxes, whose augmentation it is")
        if self.augment not in ("none", "flip") or self.kornia:
            raise UsageError(
                'images with boxes can be mirrored ("flip") or left as they are ("none"); got augment='
                f"{self.augment}{', kornia=' + self.kornia if self.kornia else ''}"
            )
        return BoxFeed(images, self.batch_size, seed=seed, mirror=self.augment == "flip")

    def _refuse_share(self, needed: str) -> None:
        cycle = any(text.startswith("feed.augment_share=") for text in self.additions.cycle)
        if cycle or self.augment_share < 1:
            name = "--cycle feed.augment_share" if cycle else "--augment-share"
            raise UsageError(f"{name} needs {needed}, or leave {name} out")

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
