"""What `mulde ablate` is told about a method: data, a small configuration, and the arms that are compared.

A method's file offers

    Config                          dataclass, the paper's values
    build(config, split)            -> method and feed, untrained: what the contract tests examine
    run(config, split, session)     -> metrics of the exported network on the test part, after all stages
    VERIFICATION                    the case below
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mulde.vision.data.images import Split
from mulde.vision.data.loading import load
from mulde.vision.data.splitting import long_tailed, split, with_label_noise
from mulde.vision.training.federation import Rounds
from mulde.vision.training.session import Training
from mulde.vision.video.labelled import load_labelled
from mulde.vision.video.reading import LabelledVideo

ARMS = ("baseline", "method", "term at zero", "sabotage")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A case that is small enough for a laptop and large enough to show an effect."""

    config: Any
    """The method's `Config`, scaled down; it has a field `training`."""
    arms: Mapping[str, Mapping[str, Any]]
    """Changes of the configuration that make each arm of `ARMS`; a sabotage must lose the gain."""
    metric: str
    """Which metric of `run` is compared; higher is better."""
    data: str
    """Images, as after --data."""
    train: int | None = None
    """Training images; None: all."""
    test: int | None = None
    """Test images; None: all."""
    label_noise: float = 0.0
    """Share of training labels that are wrong."""
    imbalance: float = 1.0
    """How many times more images the largest class has than the smallest."""
    notes: str = ""
    """What the paper does otherwise."""
    valid: bool = True
    """Whether a validation part is cut from the training part where there is none."""
    read: Callable[[str], Any] = load
    """What reads the data: `load` images with labels, `load_boxed` images with boxes."""
    paper_data: str = ""
    """The paper's images, as after --data; PATH is where the user has them."""
    paper_metric: str = ""
    """What the paper compares, where it is another metric."""

    def split(self, seed: int, data: str | None = None) -> Split[Any]:
        """The images of one seed, the same for every arm: divided, made harder, standardised."""
        found = split(self.read(data or self.data), seed, train=self.train, test=self.test, valid=self.valid)
        train = found.train
        if self.imbalance > 1:
            train = long_tailed(train, self.imbalance, seed)
        if self.label_noise:
            train = with_label_noise(train, self.label_noise, seed)
        return dataclasses.replace(found, train=train).standardised()

    def paper(self) -> Self:
        """The paper's own networks and schedule, which are the defaults of `Config`, on all images as they come."""
        return dataclasses.replace(
            self,
            config=type(self.config)(),
            metric=self.paper_metric or self.metric,
            data=self.paper_data,
            train=None,
            test=None,
            valid=False,
            label_noise=0.0,
            imbalance=1.0,
            notes=" ".join(str(type(self.config).__doc__).split()),
        )

    def shortened(self, share: float) -> Self:
        """The case with this share of its epochs, rounds and images, to try a command."""
        lengths = {name: value for name, value in vars(self.config).items() if isinstance(value, Training | Rounds)}
        shorter = {name: value.shortened(share) for name, value in lengths.items()}
        train, test = (None if size is None else max(40, round(share * size)) for size in (self.train, self.test))
        config = dataclasses.replace(self.config, **shorter)
        return dataclasses.replace(self, config=config, train=train, test=test)

    def described(self, seeds: Sequence[int], data: str | None = None) -> str:
        """Data, split and length behind the figures, in a line."""
        sizes = f"{self.train or 'all'} training and {self.test or '25 % as'} test images, divided anew for every seed"
        if data is not None:
            sizes = f"at most {sizes}, official parts kept"
        if not self.valid:
            sizes = "all images, official parts kept; where there is no test part, 25 % as such, anew for every seed"
        noise = f", {100 * self.label_noise:.0f} % of the training labels wrong" if self.label_noise else ""
        tail = f", imbalance {self.imbalance:g}" if self.imbalance > 1 else ""
        epochs = self.config.training.epochs
        return f"data {data or self.data}: {sizes}{noise}{tail}; {epochs} epochs; seeds {', '.join(map(str, seeds))}"

    def arm(self, name: str) -> Any:
        """The configuration of one arm."""
        return dataclasses.replace(self.config, **self.arms[name])


@dataclass(frozen=True, kw_only=True)
class StreamCase(Verification):
    """A case on one labelled video: every seed has its own, or begins with other weights where there is only one."""

    def split(self, seed: int, data: str | None = None) -> LabelledVideo:  # type: ignore[override]
        """The video of one seed, the same for every arm."""
        return load_labelled(data or self.data, seed)

    def shortened(self, share: float) -> Self:
        """The case with this share of its epochs and, where they are generated, frames."""
        short = super().shortened(share)
        source, _, options = self.data.partition(",")
        if not source.startswith("drift:"):
            return short
        frames = max(40, round(share * int(source.partition(":")[2])))
        return dataclasses.replace(short, data=f"drift:{frames},{options}")

    def described(self, seeds: Sequence[int], data: str | None = None) -> str:
        """Data behind the figures, in a line."""
        kind = "a video for every seed" if (data or self.data).startswith("drift") else "the same video for every seed"
        frames = "frames on which the teacher was not asked"
        return f"data {data or self.data}: {kind}, {frames}; seeds {', '.join(map(str, seeds))}"
