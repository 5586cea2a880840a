"""The engine without any graph: two small networks learn from labels and from each other (mutual learning).

    labels ──▶ peer_a ◀──soft labels──▶ peer_b ◀── labels

Source of the idea: Zhang et al. 2018, "Deep Mutual Learning". A method defines its learners, losses and
predictions. The trainer adds updates, checkpoints, logs and early stopping.

    python examples/two_peers.py
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import mulde
from mulde.engine import OptimizerSpec

Batch = list[Tensor]  # points (b, 2), classes (b,)


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 3))


class TwoPeers(mulde.Method):
    """Two learners; a loss belongs to the learner whose name it begins with."""

    def __init__(self) -> None:
        super().__init__()
        self.peer_a, self.peer_b = network(64), network(32)

    def learners(self) -> dict[str, object]:
        return {"peer_a": self.peer_a.parameters(), "peer_b": self.peer_b.parameters()}

    def losses(self, batch: Batch, clock: mulde.Clock) -> dict[str, Tensor]:
        points, classes = batch
        a, b = self.peer_a(points), self.peer_b(points)
        weight = clock.progress  # from 0 to 1: the peers' predictions count more and more
        return {
            "peer_a/hard": functional.cross_entropy(a, classes),
            "peer_b/hard": functional.cross_entropy(b, classes),
            # The target is detached, so that a term trains one peer only.
            "peer_a/soft": weight * functional.cross_entropy(a, b.detach().softmax(1)),
            "peer_b/soft": weight * functional.cross_entropy(b, a.detach().softmax(1)),
        }

    def predict(self, batch: Batch) -> Tensor:
        return self.peer_b(batch[0])


def spirals(count: int, seed: int) -> TensorDataset:
    """Three spirals in the plane."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(3, (count,), generator=generator)
    radius = torch.rand(count, generator=generator)
    angle = 4 * radius + classes * 2.0944 + 0.1 * torch.randn(count, generator=generator)
    return TensorDataset(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), classes)


def accuracy(method: TwoPeers, clock: mulde.Clock) -> dict[str, float]:
    points, classes = VALID.tensors
    return {"valid/accuracy": (method.predict([points]).argmax(1) == classes).float().mean().item()}


VALID = spirals(500, seed=1)
feed = DataLoader(spirals(1000, seed=0), batch_size=50, shuffle=True)
trainer = mulde.Trainer(optimizers=OptimizerSpec(optimizer="adam", lr=2e-2))  # folder=... keeps the run
record = trainer.fit(TwoPeers(), feed, epochs=20, evaluate=accuracy, select=("valid/accuracy", "max"))
print(f"{record.steps} updates, best after epoch {record.best_epoch}: {record.best_metrics}")
assert record.best_metrics["valid/accuracy"] > 0.8
