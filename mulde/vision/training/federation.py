"""Federated training of an image method: partition of the images, a client's training in a round, all rounds.

The rounds are run by `mulde.federated.rounds`, which needs Flower and is imported on first use.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mulde.config import Count, Positive, Size
from mulde.engine.protocol import Setup
from mulde.errors import missing
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.partition import partitioned
from mulde.vision.training.options import Training
from mulde.vision.training.session import Session

if TYPE_CHECKING:
    from mulde.federated.rounds import Federation, Outcome, Turn, Visit

OneRound = Callable[[Any, Split, Mapping[str, Any], Mapping[str, Tensor], ImageSet, int], Setup]
"""Config, data, networks by role, received weights, a client's images and a seed -> the client's method, whose network
`local` is averaged, and its batches."""


@dataclass(frozen=True)
class Rounds:
    """Clients and rounds of a federated training."""

    clients: Size = 100
    """Clients that hold images."""
    per_round: Size | None = 10
    """Clients that are drawn in a round; None: all."""
    rounds: Count = 200
    """Rounds; weights are averaged after each."""
    partition: str = "shards:2"
    """Division of the images among clients: iid, shards:NUMBER or dirichlet:NUMBER, see
    `mulde.vision.data.partition`."""
    minimum: Count = 10
    """Fewest images of a client."""
    decay: Positive = 0.99
    """Factor of the learning rate after every round."""

    def shortened(self, fraction: float) -> Rounds:
        """The same clients with this fraction of the rounds."""
        return replace(self, rounds=max(1, round(fraction * self.rounds)))


def spread(
    config: Any,
    split: Split,
    session: Session,
    networks: Mapping[str, Any],
    one_round: OneRound,
    *,
    evaluate: Callable[[dict[str, Tensor], int], Mapping[str, float]] | None = None,
    measure: Callable[[nn.Module, Mapping[str, Tensor], ImageSet, int], Mapping[str, float]] | None = None,
) -> Federation:
    """A federation of clients that hold the training images.

    Parameters
    ----------
    config
        A dataclass with the fields `training` (of a client in one round) and `rounds`.
    split
        Images; the training part is divided among the clients.
    session
        Seed and device.
    networks
        Networks by role; `student` is the initial network.
    one_round
        Makes the method of a client in a round.
    evaluate
        Metrics from the averaged weights and the number of the round.
    measure
        Metrics from a client's network after its training, the weights it received, its images and the number of the
        round; in one round the names are the same for all clients.
    """
    engine = _engine()
    rounds: Rounds = config.rounds
    training: Training = config.training
    parts = partitioned(split.train, rounds.partition, rounds.clients, split.seed, rounds.minimum)

    def visit(turn: Turn, received: dict[str, Tensor]) -> Visit:
        own = parts[turn.client]
        setup = one_round(config, split, networks, received, own, turn.seed)
        network: Any = setup.method.local
        assert setup.feed is not None
        optimizer = replace(training.optimizer, lr=training.optimizer.lr * rounds.decay ** (turn.round - 1))
        figures = dict if measure is None else lambda: measure(network, received, own, turn.round)
        found: Visit = engine.Visit(setup.method, network, setup.feed, len(own), training.epochs, optimizer, figures)
        return found

    made: Federation = engine.Federation(
        visit,
        {key: value.clone() for key, value in networks["student"].state_dict().items()},
        rounds.clients,
        rounds.rounds,
        rounds.per_round,
        evaluate,
        session.seed,
        session.device,
        {"data": split.train.checksum(), **session.of_file(), **asdict(config)},
    )
    return made


def received(network: nn.Module, weights: Mapping[str, Tensor]) -> Any:
    """A copy of a network with the weights that a client receives."""
    copied = copy.deepcopy(network)
    copied.load_state_dict(weights)
    return copied


def train_in_rounds(federation: Federation, session: Session) -> Outcome:
    """Run all rounds; a finished federation in the session's folder is reused, an interrupted one continued."""
    found: Outcome = _engine().federate(
        federation, session.folder, budget_seconds=session.budget.limit(1.0), bar=session.bar
    )
    session.budget.spend(found.record.seconds)
    return found


def _engine() -> ModuleType:
    """`mulde.federated.rounds`. Raises MissingExtra where Flower is not installed."""
    try:
        from mulde.federated import rounds
    except ImportError as error:
        raise missing("federated rounds are run by Flower", "federated") from error
    return rounds
