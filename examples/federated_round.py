"""Federated learning with your own method: each of four clients has images of two kinds of shapes.

    server ──weights──▶ clients: each trains a copy on its own images ──weights──▶ server: their mean

In every round a client's method is made from the weights that it received; Flower carries them back and takes the
mean. With `folder=...` a federation that was stopped continues. Needs Flower: `pip install mulde[federated]`.

    python examples/federated_round.py
"""

import torch
from torch import Tensor

from mulde.engine import OptimizerSpec
from mulde.federated.rounds import Federation, Turn, Visit, federate
from mulde.vision.data.partition import partitioned
from mulde.vision.data.shapes import shapes
from mulde.vision.data.splitting import split
from mulde.vision.methods.fedntd import Config, FedNTD
from mulde.vision.models import StagedNetwork, network
from mulde.vision.training.evaluation import network_accuracy
from mulde.vision.training.feeds import ImageFeed

data = split(shapes(800, size=8, noise=0.05), seed=0).standardised()
parts = partitioned(data.train, "shards:2", clients=4, seed=0)


def small_network(weights: dict[str, Tensor] | None = None) -> StagedNetwork:
    torch.manual_seed(0)
    net = network("fedavg-8-16-32", data.classes, input_channels=1, size=8)
    if weights is not None:
        net.load_state_dict(weights)
    return net


def begin(turn: Turn, received: dict[str, Tensor]) -> Visit:
    """A client's training in a round, here by FedNTD; any method can be used."""
    own = parts[turn.client]
    method = FedNTD(small_network(received), small_network(received), Config(beta=1.0))
    feed = ImageFeed(own, batch_size=20, seed=turn.seed)
    return Visit(method, method.local, feed, len(own), epochs=2, optimizers=OptimizerSpec("sgd", 0.05, momentum=0.9))


def evaluate(mean: dict[str, Tensor], number: int) -> dict[str, float]:
    return {"accuracy": network_accuracy(small_network(mean), data.test)}


outcome = federate(Federation(begin, small_network().state_dict(), clients=4, rounds=6, evaluate=evaluate))
for entry in outcome.history:
    print(f"round {entry['round']}: the server's accuracy on all shapes is {entry['accuracy']:.3f}")
