"""Parts of a MulDE step: top 500 of a RotH 32-d Junior, four 64-d teachers, Senior, batch 500.

    python -m benchmarks.speed.mulde_step

Each row is a part of the step, measured separately on one batch, then the whole step with its update.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.harness.side_by_side import Candidate, Peak, Row, compare, median_ms

TEACHERS = ("hyperbolic_transe", "disth", "roth", "refh")
SECONDS = 3.0


class _Step:
    """Models and one batch for all parts."""

    def __init__(self, settings: argparse.Namespace):
        import kge_data
        from mulde.config import from_dict
        from mulde.engine import process
        from mulde.kge.feeds import QueryFeed
        from mulde.kge.methods.mulde import Config, MulDE
        from mulde.kge.model.config import ModelConfig
        from mulde.kge.model.kge_model import KGEModel
        from mulde.kge.storage.run_folder import find_scorer
        from mulde.kge.teachers.ensemble import Ensemble

        process.start()
        self.peak = Peak()
        graph = kge_data.load(settings.data[0])

        def model(name: str, dim: int, seed: int) -> KGEModel:
            config = ModelConfig(dim=dim, init_scale=0.1)
            return KGEModel(find_scorer(name), graph.num_entities, graph.num_relations, config, seed)

        self.ensemble = Ensemble([model(name, 64, settings.seed + i) for i, name in enumerate(TEACHERS, 1)])
        self.junior = model("roth", 32, settings.seed)
        self.method = MulDE(
            self.junior, self.ensemble, from_dict(Config, {"top_k": 500, "teacher_query_fraction": 1.0})
        )
        self.batch = next(iter(QueryFeed(graph, 500, 50, seed=settings.seed)))
        self.candidates = self.best()

    def best(self) -> Any:
        """The candidates (b, c) that the teachers score: the Junior's best."""
        return self.method.config.querying.candidates(self.junior, self.batch)

    def row(self, action: Any) -> Row:
        return {"ms": median_ms(action, SECONDS, warm_up=2), "peak MB": self.peak.megabytes()}


def whole(settings: argparse.Namespace) -> Row:
    """Losses, gradients and the update of both learners."""
    from mulde.engine import Clock, OptimizerSpec
    from mulde.engine.device import Device
    from mulde.engine.learning import learners_of
    from mulde.engine.update import Update

    it, device, clock = _Step(settings), Device(), Clock(step=0, epoch=0, epochs=1, progress=0.0)
    learners = learners_of(it.method, OptimizerSpec(), None)
    return it.row(lambda: Update(it.method, learners, [it.batch], clock, device).descend())


def hard(settings: argparse.Namespace) -> Row:
    """The Junior's hard loss with its gradient."""
    from mulde.kge.losses import hard_loss

    it = _Step(settings)
    return it.row(lambda: hard_loss(it.junior, it.batch).backward())


def top(settings: argparse.Namespace) -> Row:
    """Scores of all entities and the selection of the best 500."""
    it = _Step(settings)
    return it.row(it.best)


def scores(settings: argparse.Namespace) -> Row:
    """Scores of all entities, without selection."""
    it = _Step(settings)
    return it.row(lambda: sum(len(rows) for rows, _ in it.junior.blocks(it.batch.heads, it.batch.relations)))


def teachers(settings: argparse.Namespace) -> Row:
    """The four teachers' scores of the candidates."""
    it = _Step(settings)
    return it.row(lambda: it.ensemble.score(it.batch.heads, it.batch.relations, it.candidates))


def own(settings: argparse.Namespace) -> Row:
    """The Junior's scores of the candidates, with their gradient."""
    it = _Step(settings)
    return it.row(lambda: it.junior.score(it.batch.heads, it.batch.relations, it.candidates).sum().backward())


def senior(settings: argparse.Namespace) -> Row:
    """Senior, soft loss and the Senior's hard loss with their gradients, from given scores."""
    from mulde.losses.hard_labels import binary
    from mulde.losses.soft_labels import soft_kl

    it = _Step(settings)
    heads, relations = it.batch.heads, it.batch.relations
    scores = it.ensemble.score(heads, relations, it.candidates)
    given = it.junior.score(heads, relations, it.candidates).detach().requires_grad_()
    labels = it.candidates == it.batch.tails.unsqueeze(1)

    def action() -> None:
        blended = it.method.senior(scores, given, relations, 1.0)
        (soft_kl(blended, given, 1.0, 1e-7) + binary(blended, labels)).backward()

    return it.row(action)


def candidates(settings: argparse.Namespace) -> list[Candidate]:
    return [
        Candidate("whole step", whole),
        Candidate("Junior's hard loss", hard),
        Candidate("top 500", top),
        Candidate("  scores of all entities (part of it)", scores),
        Candidate("teachers' scores of the 500", teachers),
        Candidate("Junior's scores of the 500", own),
        Candidate("Senior and its losses", senior),
    ]


if __name__ == "__main__":
    compare(
        __doc__ or "",
        "Parts of a MulDE step, top 500, four 64-d teachers, 32-d Junior, batch 500; median ms",
        candidates,
        compared="ms",
    )
