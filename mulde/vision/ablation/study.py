"""Ablation study of a method: data, a small configuration, the variants that are compared, and the metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mulde.engine.protocol import Trained
from mulde.vision.data.found import described
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load
from mulde.vision.data.splitting import long_tailed, split, with_label_noise
from mulde.vision.training import evaluation
from mulde.vision.training.federation import Rounds
from mulde.vision.training.options import Training
from mulde.vision.video.labelled import load_labelled
from mulde.vision.video.reading import LabelledVideo

VARIANTS = ("baseline", "method", "weight 0", "control", "longer")
"""baseline: training without the method. method: the method. weight 0: an ablation, the method with the weight of its
central term at 0. control: the method with meaningless transfer, for example from a teacher of shuffled images.
longer: the baseline with as much computation as the method."""


def task_metrics(config: Any, data: Any, trained: Trained) -> dict[str, float]:
    """Metrics of the task of a trained network; see `mulde.vision.training.evaluation`."""
    return evaluation.evaluate(trained, data)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A comparison that runs on a laptop and is large enough to show an effect."""

    config: Any
    """The method's `Config`, scaled down; it has a field `training`."""
    variants: Mapping[str, Mapping[str, Any]]
    """Changes of the configuration for each variant of `VARIANTS`. The last three are left out where they would equal
    another one, or the baseline computes as much as the method."""
    metric: str
    """Metric that is compared; higher is better."""
    second_metric: str = ""
    """Another metric that is compared likewise."""
    seeds: int = 5
    """Number of seeds that show the effect."""
    data: str
    """Images, as after --data."""
    train: int | None = None
    """Number of training images; None: all."""
    test: int | None = None
    """Number of test images; None: all."""
    label_noise: float = 0.0
    """Fraction of training labels that are made wrong."""
    imbalance: float = 1.0
    """Ratio of the training images of the largest class to those of the smallest."""
    notes: str = ""
    """Differences of the data and networks from the paper's experiment."""
    meaning: str = ""
    """What the variants are, where their names do not say it."""
    valid: bool = True
    """Whether a validation part is cut from the training part where there is none."""
    read: Callable[[str], Any] = load
    """Reader of the data: `load` for images with labels, `load_boxed` for images with boxes."""
    evaluate: Callable[[Any, Any, Trained], Mapping[str, float]] = task_metrics
    """Metrics from the configuration, the data and the trained networks; by default those of the task."""
    paper_data: str = ""
    """The paper's images, as after --data; PATH is the user's folder."""
    paper_metric: str = ""
    """The paper's metric, where it is another one."""

    def split(self, seed: int, data: str | None = None) -> Split[Any]:
        """The images of one seed, the same for every variant: divided, made harder, standardised."""
        found = split(self.read(data or self.data), seed, train=self.train, test=self.test, valid=self.valid)
        train = found.train
        if self.imbalance > 1:
            train = long_tailed(train, self.imbalance, seed)
        if self.label_noise:
            train = with_label_noise(train, self.label_noise, seed)
        return dataclasses.replace(found, train=train).standardised()

    def found(self, data: str) -> str:
        """What was found in a user's data, in a few lines."""
        return described(self.read(data))

    def paper(self) -> Self:
        """The study with the paper's networks and schedule, the defaults of `Config`, on all images as they are."""
        return dataclasses.replace(
            self,
            config=type(self.config)(),
            metric=self.paper_metric or self.metric,
            second_metric="",
            data=self.paper_data,
            train=None,
            test=None,
            valid=False,
            label_noise=0.0,
            imbalance=1.0,
            notes=" ".join(str(type(self.config).__doc__).split()),
        )

    def shortened(self, fraction: float) -> Self:
        """The study with this fraction of its epochs, rounds and images, to try a command."""

        def shorter(values: Mapping[str, Any]) -> dict[str, Any]:
            lengths = {name: value for name, value in values.items() if isinstance(value, Training | Rounds)}
            return {**values, **{name: value.shortened(fraction) for name, value in lengths.items()}}

        train, test = (None if size is None else max(40, round(fraction * size)) for size in (self.train, self.test))
        config = dataclasses.replace(self.config, **shorter(vars(self.config)))
        variants = {name: shorter(changes) for name, changes in self.variants.items()}
        return dataclasses.replace(self, config=config, variants=variants, train=train, test=test)

    def described(self, seeds: Sequence[int], data: str | None = None) -> str:
        """Data, split and length of the study in one line."""
        sizes = f"{self.train or 'all'} training and {self.test or '25 % as'} test images, a new split for every seed"
        if data is not None:
            sizes = f"at most {sizes}, official parts kept"
        if not self.valid:
            sizes = "all images, official parts kept; where there is no test part, 25 % as such, new for every seed"
        noise = f", {100 * self.label_noise:.0f} % of the training labels wrong" if self.label_noise else ""
        tail = f", imbalance {self.imbalance:g}" if self.imbalance > 1 else ""
        epochs = self.config.training.epochs
        return f"data {data or self.data}: {sizes}{noise}{tail}; {epochs} epochs; seeds {', '.join(map(str, seeds))}"

    def variant(self, name: str) -> Any:
        """The configuration of one variant."""
        return dataclasses.replace(self.config, **self.variants[name])


@dataclass(frozen=True, kw_only=True)
class StreamStudy(Study):
    """A study on labelled videos: a new one for every seed, or other initial weights where there is only one."""

    def split(self, seed: int, data: str | None = None) -> LabelledVideo:  # type: ignore[override]
        """The video of one seed, the same for every variant."""
        return load_labelled(data or self.data, seed)

    def found(self, data: str) -> str:
        """Frames, their size and classes."""
        video = load_labelled(data)
        height, width = video.labels.shape[1:]
        return f"{len(video)} frames of {width} x {height} pixels, {video.classes} classes"

    def shortened(self, fraction: float) -> Self:
        """The study with this fraction of its epochs and, where they are generated, frames."""
        short = super().shortened(fraction)
        source, _, options = self.data.partition(",")
        if not source.startswith("drift:"):
            return short
        frames = max(40, round(fraction * int(source.partition(":")[2])))
        return dataclasses.replace(short, data=f"drift:{frames},{options}")

    def described(self, seeds: Sequence[int], data: str | None = None) -> str:
        """Data of the study in one line."""
        kind = "a video for every seed" if (data or self.data).startswith("drift") else "the same video for every seed"
        frames = "frames without a query to the teacher"
        return f"data {data or self.data}: {kind}, {frames}; seeds {', '.join(map(str, seeds))}"
