"""MVDG: several short trajectories over the domains, and their mean displacement as the gradient.

    weights θ ──copy i──▶ l times: a step on some domains, then one on the others ──▶ θ_i
       ▲                                                                               │
       └────────── one step with the gradient θ - mean_i θ_i ◀─────────────────────────┘

Source: Zhang, Qi, Shi, Gao, "MVDG: A Unified Multi-view Framework for Domain Generalization", ECCV 2022, arXiv
2112.12329, and the authors' code: three trajectories of three tasks; each task divides the domains at random in two,
and takes a step of Adam on the first part and then one on the second (first order). The outer step is SGD without
momentum. Adam's moments begin anew in every trajectory here; in that code a trajectory takes over those of the one
before. Statistics of batch normalisation are estimated anew after each epoch. With `prediction_views` the prediction is
the mean over several weakly changed versions of an image (multi-view prediction); 1 is the plain prediction.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, NonNegative, Positive, Size
from mulde.engine import Clock, EpochEnd, Method, Update
from mulde.engine.batch_statistics import estimate_statistics
from mulde.engine.protocol import Needs, Role, Setup
from mulde.vision.ablation.study import Study
from mulde.vision.data.augmentation import compose, flip, shift
from mulde.vision.data.domains import by_domain, domains_of
from mulde.vision.data.images import Split
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import OptimizerSteps, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The values of the authors' script."""

    student: str = "resnet20"
    """The network, see `mulde.vision.models.networks`."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    trajectories: Count = 3
    """s, trajectories per update; 0 would be plain training on all domains."""
    tasks: Count = 3
    """l, tasks in a trajectory; each takes two steps."""
    inner_lr: Positive = 1e-3
    """Learning rate of the steps inside a trajectory (Adam)."""
    inner_decay: NonNegative = 5e-4
    """Weight decay of these steps."""
    pooled: bool = False
    """Baseline: steps on batches of all domains together, as many per update, without trajectories."""
    shared: bool = False
    """Control: every task takes both of its steps on all domains."""
    prediction_views: Count = 1
    """Changed versions of an image whose logits are averaged in the prediction; the paper's script has 32."""
    training: Training = field(
        default_factory=lambda: Training(30, 64, "shift-flip", OptimizerSteps("sgd", 0.05, schedule="constant"))
    )
    """Epochs, batches, and optimiser of the outer step."""


RECOMMENDED = {"epochs": 30, "batch_size": 48, "augment": "shift-flip"}
"""Options of the preset `recommended`."""

FIELD = "domain generalisation"
NEEDS = Needs("images", {"student": Role("logits")}, controls=frozenset({"order"}), domains=True)


def meta_split(domains: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of a batch in some of its domains, and those in the others; at least one domain in each.

    domains: (b,) int64 with at least two different values.
    """
    found = domains.unique()
    order = found[torch.randperm(len(found), generator=generator)]
    first = int(torch.randint(1, len(found), (), generator=generator))
    inside = torch.isin(domains, order[:first])
    return inside.nonzero().flatten(), (~inside).nonzero().flatten()


class MVDG(Method):
    """One learner, `network`, with an update rule of its own."""

    def __init__(self, network: nn.Module, config: Config) -> None:
        super().__init__()
        self.network, self.config = network, config

    def learners(self) -> dict[str, Any]:
        return {"network": self.network.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        """Cross entropy of a whole batch; the baseline trains on it, trajectories on parts of batches."""
        return {"network/hard": functional.cross_entropy(self.network(batch.images).logits, batch.labels)}

    def update(self, update: Update) -> None:
        """One outer step; its gradient is the mean displacement of the trajectories."""
        if self.config.pooled:
            update.descend()
        else:
            self._follow_all(update, update.batches[0])

    def _follow_all(self, update: Update, batch: ImageBatch) -> None:
        with torch.no_grad():
            start = [parameter.detach().clone() for parameter in self.network.parameters()]
            mean = [torch.zeros_like(value) for value in start]
        update.differentiate(update.losses(batch))  # for the log, and so that the learner takes part in the step
        buffers = copy.deepcopy(dict(self.network.named_buffers()))
        for _ in range(self.config.trajectories):
            self._follow(update, batch)
            with torch.no_grad():
                for total, parameter, value in zip(mean, self.network.parameters(), start, strict=True):
                    total += (value - parameter) / self.config.trajectories
                    parameter.copy_(value)
        for name, buffer in self.network.named_buffers():
            buffer.copy_(buffers[name])
        for parameter, displacement in zip(self.network.parameters(), mean, strict=True):
            parameter.grad = displacement
        update.apply()

    def _follow(self, update: Update, batch: ImageBatch) -> None:
        """Take the steps of one trajectory; the network has its end afterwards."""
        config = self.config
        adam = torch.optim.Adam(self.network.parameters(), lr=config.inner_lr, weight_decay=config.inner_decay)
        for _ in range(config.tasks):
            both = meta_split(batch.domains, torch.default_generator)  # type: ignore[arg-type]
            everything = torch.arange(len(batch))
            for rows in (everything, everything) if config.shared else both:
                part = replace(batch, images=batch.images[rows], labels=batch.labels[rows], index=batch.index[rows])
                update.forget_gradients()
                update.differentiate(update.losses(part), logged=False)
                adam.step()

    def after_epoch(self, end: EpochEnd) -> None:
        """Estimate the statistics of batch normalisation for the weights between the trajectories."""
        if not self.config.pooled:
            estimate_statistics(self.network, end.batches(), lambda batch: self.network(batch.images))

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, k), the mean over `prediction_views` versions of each image; the first is the image itself."""
        logits: Tensor = self.network(batch.images).logits
        change = compose(shift(max(1, batch.images.shape[-1] // 8)), flip)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            for _ in range(self.config.prediction_views - 1):
                logits = logits + self.network(change(batch.images)).logits
        return logits / self.config.prediction_views

    def exported(self) -> dict[str, nn.Module]:
        """The network."""
        return {"student": self.network}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The network."""
    return by_role(given, {"student": lambda: classifier("network", config.student, data, config.channels)})


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """Batches with as many images of every domain."""
    order = by_domain(domains_of(data.train))
    return Setup(MVDG(networks["student"], config), config.training.feed(data.train, data.seed, order))


STUDY = Study(
    config=Config(
        student="cnn-16-32",
        trajectories=3,
        tasks=3,
        inner_lr=1e-2,
        inner_decay=0.0,
        training=Training(4, 64, "none", OptimizerSteps("sgd", 1.0)),
    ),
    variants={
        "baseline": {"pooled": True, "training": Training(4 * 9, 32, "none", OptimizerSteps("adam", 1e-3))},
        "method": {},
        "control": {"shared": True},
    },
    metric="accuracy",
    data="rotations",
    train=1000,
    paper_data="folder:PATH,test-domain=sketch",
    notes="the digits turned by 60 degrees are the test part; the baseline makes as many steps, with batches of 32",
)
