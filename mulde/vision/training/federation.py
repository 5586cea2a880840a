"""How an image method is trained in rounds over clients: who holds what, and how a method visits a client.

The rounds themselves are `mulde.federated.rounds`, which needs Flower and is imported when they begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mulde.engine import Method
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.partition import partitioned
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.session import Session, Training

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mulde.federated.rounds import Federation, Turn, Visit

Begin = Callable[[dict[str, Tensor], ImageSet, int], "tuple[Method, nn.Module, Iterable[ImageBatch]]"]
"""Weights received, a client's images and a seed -> its method, the part of it that travels, and its batches."""


@dataclass(frozen=True)
class Rounds:
    """How a training is spread over clients; what a client does in a round is its `Training`."""

    clients: int = 100
    """How many hold images."""
    per_round: int | None = 10
    """How many of them are drawn in a round; None: all take part."""
    rounds: int = 200
    """How often weights are averaged."""
    partition: str = "shards:2"
    """Who holds what: iid, shards:NUMBER or dirichlet:NUMBER, see `mulde.vision.data.partition`."""
    minimum: int = 10
    """Images that every client has at least."""
    decay: float = 0.99
    """What the learning rate is multiplied by after every round."""

    def shortened(self, share: float) -> Rounds:
        """This share of the rounds, over as many clients."""
        return replace(self, rounds=max(1, round(share * self.rounds)))


def spread(
    config: Any,
    split: Split,
    session: Session,
    begin: Begin,
    weights: dict[str, Tensor],
    *,
    evaluate: Callable[[dict[str, Tensor], int], Mapping[str, float]] | None = None,
    measure: Callable[[nn.Module, ImageSet, int], Mapping[str, float]] | None = None,
) -> Federation:
    """Clients that hold the training images, each with the method that `begin` makes for a turn.

    config: a dataclass with the fields `training` (a client's, of one round) and `rounds`.
    measure: the network after a client's training, its images and the number of the round -> figures; in one round all
    clients have the same ones.
    """
    from mulde.federated.rounds import Federation, Visit

    rounds: Rounds = config.rounds
    training: Training = config.training
    parts = partitioned(split.train, rounds.partition, rounds.clients, split.seed, rounds.minimum)

    def visit(turn: Turn, received: dict[str, Tensor]) -> Visit:
        own = parts[turn.client]
        method, network, feed = begin(received, own, turn.seed)
        optimizer = replace(training.optimizer, lr=training.optimizer.lr * rounds.decay ** (turn.round - 1))
        figures = dict if measure is None else lambda: measure(network, own, turn.round)
        return Visit(method, network, feed, len(own), training.epochs, optimizer, figures)

    return Federation(
        visit,
        {key: value.clone() for key, value in weights.items()},  # what `evaluate` loads into may be their network
        rounds.clients,
        rounds.rounds,
        rounds.per_round,
        evaluate,
        session.seed,
        session.device,
        {"data": split.train.checksum(), **asdict(config)},
    )
