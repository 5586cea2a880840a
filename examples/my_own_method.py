"""A distillation method of your own on triples: the student copies the teacher's order, not its scores.

    triples ──hard labels──▶ student ◀──"which of two tails is better?"── teacher (frozen)

`mulde distil --method` accepts this file because it defines `build`. In the folder `mulde/kge/methods/` it is also
listed by `mulde list methods` and tested by `tests/contracts/method.py`.

    python examples/my_own_method.py
    mulde distil --method examples/my_own_method.py --teacher RUN --data nations --dim 8
"""

from torch import Tensor
from torch.nn import functional

import kge_data
import mulde
from mulde.engine import OptimizerSpec, frozen
from mulde.kge.feeds import QueryBatch, QueryFeed
from mulde.kge.losses import hard_loss
from mulde.kge.options import Distillation
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.ensemble import Ensemble


class PairwiseOrder(mulde.Method):
    """One learner, `student`. The teachers are frozen: in eval mode, never updated, left out of checkpoints."""

    def __init__(self, student: mulde.KGEModel, teachers: Ensemble, weight: float = 0.5):
        super().__init__()
        self.student, self.teachers, self.weight = student, frozen(teachers), weight

    def learners(self) -> dict[str, object]:
        return {"student": self.student.parameters()}

    def losses(self, batch: QueryBatch, clock: mulde.Clock) -> dict[str, Tensor]:
        # Compare one half of the feed's random corruptions with the other: which of two has the higher score?
        n = batch.negatives.shape[1] // 2
        left, right = self.student.score(batch.heads, batch.relations, batch.negatives[:, : 2 * n]).split(n, 1)
        scores = self.teachers.score(batch.heads, batch.relations, batch.negatives[:, : 2 * n])  # (m, b, 2n)
        theirs_left, theirs_right = scores.mean(0).split(n, 1)
        order = functional.binary_cross_entropy_with_logits(left - right, (theirs_left > theirs_right).to(left.dtype))
        return {"student/hard": hard_loss(self.student, batch), "student/order": self.weight * order}

    def predict(self, batch: QueryBatch) -> Tensor:
        return self.student.score_all(batch.heads, batch.relations)


def build(config: Distillation, data: kge_data.TripleSet, networks: dict) -> PairwiseOrder:
    """The method for `mulde distil --method`; feed and evaluation are the default ones."""
    return PairwiseOrder(networks["student"], networks["teacher"], config.soft_weight)


def main() -> None:
    """The same from Python, with the trainer."""
    graph = kge_data.load("nations")
    teacher = mulde.train("roth", graph, dim=32, epochs=10)
    student = mulde.KGEModel(RotH, graph.num_entities, graph.num_relations, mulde.ModelConfig(dim=8))

    def valid(method: PairwiseOrder, clock: mulde.Clock) -> dict[str, float]:
        return {"valid/mrr": mulde.evaluate(method.student, graph, "valid").metrics()["mrr"]}

    trainer = mulde.Trainer(optimizers=OptimizerSpec(lr=5e-3))
    feed = QueryFeed(graph, batch_size=200, negatives=20)
    method = PairwiseOrder(student, Ensemble([teacher]))
    record = trainer.fit(method, feed, epochs=10, eval_every=5, evaluate=valid, select=("valid/mrr", "max"))
    print(f"{record.steps} updates; best on valid: {record.best_metrics['valid/mrr']:.3f}")
    print(f"test MRR: {mulde.evaluate(student, graph).metrics()['mrr']:.3f}")


if __name__ == "__main__":
    main()
