"""A training step over all entities: mulde, plain torch and PyKEEN; RotH 32-d, 1024 queries, cross entropy.

    python -m benchmarks.speed.one_vs_all                        (two graphs; about four minutes)

A step is: the next batch, loss, gradients, one update of Adagrad. mulde scores distinct queries with all their answers;
so does PyKEEN's LCWA loop, which is measured between two batches. "Plain torch" is the matrix of all scores under
autograd. "Distilled" adds the soft labels of cached teacher predictions, 200 per query (offline distillation). bfloat16
products differ from the others only on processors with matrix units.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.harness.side_by_side import (
    KEEP_MEMORY,
    Candidate,
    Peak,
    Row,
    compare,
    endless,
    median_ms,
    pykeen_batch_ms,
    pykeen_factory,
)

DIM, BATCH, TOP = 32, 1024, 200


def ours(settings: argparse.Namespace, products: str, fused: bool = False, distilled: bool = False) -> Row:
    """Our method with the trainer's update, as in `mulde train` and `mulde distil`."""
    from mulde.engine import Clock, Method, OptimizerSpec, process
    from mulde.engine.device import Device
    from mulde.engine.learning import learners_of
    from mulde.engine.update import Update
    from mulde.kge.methods import offline
    from mulde.kge.model.compilation import enable
    from mulde.kge.training import supervised

    process.start()
    device, clock = Device(), Clock(step=0, epoch=0, epochs=1, progress=0.0)
    peak = Peak()
    feed, model = _feed_and_model(settings)
    method: Method = supervised.Supervised(model, supervised.Config(loss="1vsall", matmul_precision=products))  # type: ignore[arg-type]
    if distilled:
        config = offline.Config(matmul_precision=products)  # type: ignore[arg-type]
        method = offline.Offline(model, _random_predictions(feed, model.num_entities, settings.seed), config)
    learners, batches = learners_of(method, OptimizerSpec(optimizer="adagrad", lr=0.1), None), endless(feed)
    if fused and not enable():
        raise SystemExit("torch.compile does not work here")

    def step() -> None:
        Update(method, learners, [next(batches)], clock, device).descend()

    return {"ms": median_ms(step), "peak MB": peak.megabytes()}


def plain(settings: argparse.Namespace) -> Row:
    """The matrix of all scores, differentiated by autograd."""
    import torch

    peak = Peak()
    feed, model = _feed_and_model(settings)
    optimizer, batches = torch.optim.Adagrad(model.parameters(), lr=0.1), endless(feed)

    def step() -> None:
        batch = next(batches)
        queries, table = model.query(batch.heads, batch.relations), model.tails()
        offset, scale, slope = (
            term.unsqueeze(1) for term in table.space.query_terms(queries.points, queries.curvature)
        )
        radial, stretch = table.space.tail_terms(table.vectors.square().sum(1), queries.curvature)
        z = offset + scale * radial + slope * stretch * (queries.points @ table.vectors.T)
        scores = table.space.similarity(z, queries.curvature) + table.bias
        loss = (scores.logsumexp(1)[batch.rows] - scores[batch.rows, batch.answers]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return {"ms": median_ms(step, warm_up=1, least=3), "peak MB": peak.megabytes()}


def pykeens(settings: argparse.Namespace) -> Row:
    """PyKEEN's LCWA loop on our RotH; the median of the times between two batches."""
    import torch
    from pykeen.losses import CrossEntropyLoss
    from pykeen.training import LCWATrainingLoop

    import kge_data
    from mulde.pykeen.models import RotH

    peak = Peak()
    graph = kge_data.load(settings.data[0])
    factory = pykeen_factory(graph, 8 * BATCH)
    model = RotH(
        triples_factory=factory,
        embedding_dim=DIM,
        curvature="global",
        loss=CrossEntropyLoss(),
        random_seed=settings.seed,
    )
    loop = LCWATrainingLoop(
        model=model, triples_factory=factory, optimizer=torch.optim.Adagrad(model.parameters(), lr=0.1)
    )
    return {"ms": pykeen_batch_ms(loop, factory, BATCH, warm_up=1), "peak MB": peak.megabytes()}


def _random_predictions(feed: Any, entities: int, seed: int) -> Any:
    import numpy as np

    from mulde.kge.teachers.cached_predictions import CachedPredictions

    draw = np.random.default_rng(seed)
    ids = draw.integers(0, entities, (feed.count, TOP), dtype=np.int32)
    return CachedPredictions(ids, -draw.random((feed.count, TOP)).astype(np.float16) * 10, {})


def _feed_and_model(settings: argparse.Namespace) -> tuple[Any, Any]:
    import kge_data
    from mulde.kge.feeds import AnswerFeed
    from mulde.kge.model.config import ModelConfig
    from mulde.kge.model.kge_model import KGEModel
    from mulde.kge.scorers.roth import RotH

    graph = kge_data.load(settings.data[0])
    config = ModelConfig(dim=DIM, curvature="global")
    return AnswerFeed(graph, BATCH, settings.seed), KGEModel(
        RotH, graph.num_entities, graph.num_relations, config, settings.seed
    )


def candidates(settings: argparse.Namespace) -> list[Candidate]:
    return [
        Candidate("mulde, fused (torch.compile)", lambda it: ours(it, "float32", fused=True)),
        Candidate("mulde", lambda it: ours(it, "float32")),
        Candidate("mulde, bfloat16 products, fused", lambda it: ours(it, "bfloat16", fused=True)),
        Candidate("mulde, distilled, fused", lambda it: ours(it, "float32", fused=True, distilled=True)),
        Candidate("plain torch, as shipped", plain),
        Candidate("plain torch, glibc keeps memory", plain, KEEP_MEMORY),
        Candidate("PyKEEN LCWA, as shipped", pykeens),
        Candidate("PyKEEN LCWA, glibc keeps memory", pykeens, KEEP_MEMORY),
    ]


if __name__ == "__main__":
    compare(
        __doc__ or "",
        f"One training step over all entities, RotH {DIM}-d, {BATCH} queries; median",
        candidates,
        compared="ms",
    )
