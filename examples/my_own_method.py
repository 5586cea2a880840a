"""A distillation method of your own on triples: the student copies the teacher's order, not its scores.

    triples ──hard labels──▶ student ◀──"which of two tails is better?"── teacher (frozen)

As a file in `mulde/kge/` it would be listed by `mulde list methods` and be put through the method tests.

    python examples/my_own_method.py
"""

import torch
from torch import Tensor
from torch.nn import functional

import kge_data
import mulde
from mulde.engine import OptimizerSpec, frozen
from mulde.kge.feeds import QueryBatch, QueryFeed
from mulde.kge.hard import hard_loss
from mulde.scorers.roth import RotH


class PairwiseOrder(mulde.Method):
    """One learner, `student`. The teacher is frozen: in eval mode, never updated, left out of checkpoints."""

    def __init__(self, student: mulde.KGEModel, teacher: mulde.KGEModel, weight: float = 0.5):
        super().__init__()
        self.student, self.teacher, self.weight = student, frozen(teacher), weight

    def learners(self) -> dict[str, object]:
        return {"student": self.student.parameters()}

    def losses(self, batch: QueryBatch, clock: mulde.Clock) -> dict[str, Tensor]:
        # The feed's random corruptions, one half against the other: which one does the teacher prefer?
        left, right = batch.negatives.chunk(2, 1)
        with torch.no_grad():
            prefers_left = self.margin(self.teacher, batch, left, right) > 0
        margin = self.margin(self.student, batch, left, right)
        order = functional.binary_cross_entropy_with_logits(margin, prefers_left.float())
        return {"student/hard": hard_loss(self.student, batch), "student/order": self.weight * order}

    def margin(self, model: mulde.KGEModel, batch: QueryBatch, left: Tensor, right: Tensor) -> Tensor:
        """How much better the left tails are, (b, n)."""
        heads, relations = batch.heads, batch.relations
        return model.score(heads, relations, left) - model.score(heads, relations, right)

    def predict(self, batch: QueryBatch) -> Tensor:
        return self.student.score_all(batch.heads, batch.relations)


graph = kge_data.load("nations")
teacher = mulde.train("roth", graph, dim=32, epochs=10)
student = mulde.KGEModel(RotH, graph.num_entities, graph.num_relations, mulde.ModelConfig(dim=8))


def valid(method: PairwiseOrder, clock: mulde.Clock) -> dict[str, float]:
    return {"valid/mrr": mulde.evaluate(method.student, graph, "valid").metrics()["mrr"]}


trainer = mulde.Trainer(optimizers=OptimizerSpec(lr=5e-3))
feed = QueryFeed(graph, batch_size=200, negatives=20)
record = trainer.fit(
    PairwiseOrder(student, teacher), feed, epochs=10, every=5, evaluate=valid, select=("valid/mrr", "max")
)
print(f"{record.steps} updates; best on valid: {record.best_metrics['valid/mrr']:.3f}")
print(f"test MRR: {mulde.evaluate(student, graph).metrics()['mrr']:.3f}")
