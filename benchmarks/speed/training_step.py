"""A training step with independent negatives: mulde, KGEmb and PyKEEN; RotH, 32-d, 50 negatives, batch 500.

    python -m benchmarks.speed.training_step                     (two graphs; about three minutes)
    python -m benchmarks.speed.training_step --kgemb PATH        with a checkout of KGEmb in place of its restatement

A step is: the next batch, loss, gradients, one update of Adam. PyKEEN runs its own sLCWA loop on our registered RotH,
measured between two batches: as shipped, and with glibc keeping freed memory, as our command line sets it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
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

DIM, BATCH, NEGATIVES = 32, 500, 50


def ours(settings: argparse.Namespace, dtype: str = "float32", fused: bool = False) -> Row:
    """Our method with the trainer's update, as in `mulde train`."""
    from mulde.engine import Clock, OptimizerSpec, process
    from mulde.engine.device import Device
    from mulde.engine.learning import learners_of
    from mulde.engine.update import Update
    from mulde.kge.model.compilation import enable
    from mulde.kge.training import supervised

    process.start()
    device, clock = Device(), Clock(step=0, epoch=0, epochs=1, progress=0.0)
    peak = Peak()
    feed, model = _feed_and_model(settings, dtype)
    method, batches = supervised.Supervised(model, supervised.Config()), endless(feed)
    learners = learners_of(method, OptimizerSpec(lr=1e-3), None)
    start = time.perf_counter()
    if fused and not enable():
        raise SystemExit("torch.compile does not work here")

    def step() -> None:
        Update(method, learners, [next(batches)], clock, device).descend()

    step()
    first = time.perf_counter() - start
    return {"ms": median_ms(step), "first step s": first if fused else None, "peak MB": peak.megabytes()}


def restated(settings: argparse.Namespace, dtype: str) -> Row:
    """KGEmb's step, restated (harness/kgemb.py)."""
    import torch

    from benchmarks.harness import kgemb

    peak = Peak()
    feed, model = _feed_and_model(settings, dtype)
    theirs, batches = kgemb.RotH(model), endless(feed)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)

    def step() -> None:
        batch = next(batches)
        triples = torch.stack([batch.heads, batch.relations, batch.tails], 1)
        loss = theirs.loss(triples, kgemb.corrupt(triples, batch.negatives))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return {"ms": median_ms(step, warm_up=2), "peak MB": peak.megabytes()}


def checkout(settings: argparse.Namespace, dtype: str) -> Row:
    """KGEmb's own code on the CPU."""
    import sys

    import torch

    sys.path.insert(0, str(settings.kgemb))
    import models
    from optimizers import KGOptimizer, regularizers

    torch.Tensor.cuda = lambda tensor, *_, **__: tensor  # type: ignore[method-assign,assignment]
    peak = Peak()
    feed, ours = _feed_and_model(settings, dtype)
    arguments = argparse.Namespace(
        sizes=(ours.num_entities, 2 * ours.num_relations, ours.num_entities), rank=DIM, dropout=0.0, gamma=0.0,
        dtype="double" if dtype == "float64" else "single", bias="learn", init_size=1e-3, multi_c=True,
    )  # fmt: skip
    model = models.RotH(arguments)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    optimizer = KGOptimizer(model, regularizers.N3(0.0), adam, BATCH, NEGATIVES, double_neg=False, verbose=False)
    batches = endless(feed)

    def step() -> None:
        batch = next(batches)
        loss = optimizer.calculate_loss(torch.stack([batch.heads, batch.relations, batch.tails], 1))
        adam.zero_grad()
        loss.backward()
        adam.step()
        loss.item()

    return {"ms": median_ms(step, warm_up=2), "peak MB": peak.megabytes()}


def pykeens(settings: argparse.Namespace) -> Row:
    """PyKEEN's sLCWA loop on our RotH; the median of the times between two batches."""
    import torch
    from pykeen.training import SLCWATrainingLoop

    import kge_data
    from mulde.pykeen.models import RotH

    peak = Peak()
    graph = kge_data.load(settings.data[0])
    factory = pykeen_factory(graph, 30 * BATCH)
    model = RotH(triples_factory=factory, embedding_dim=DIM, random_seed=settings.seed)
    loop = SLCWATrainingLoop(
        model=model, triples_factory=factory, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        negative_sampler_kwargs={"num_negs_per_pos": NEGATIVES},
    )  # fmt: skip
    return {"ms": pykeen_batch_ms(loop, factory, BATCH, warm_up=3), "peak MB": peak.megabytes()}


def _feed_and_model(settings: argparse.Namespace, dtype: str) -> tuple[Any, Any]:
    import kge_data
    from mulde.kge.feeds import QueryFeed
    from mulde.kge.model.config import ModelConfig
    from mulde.kge.model.kge_model import KGEModel
    from mulde.kge.scorers.roth import RotH

    graph = kge_data.load(settings.data[0])
    config = ModelConfig(dim=DIM, dtype=dtype)  # type: ignore[arg-type]
    model = KGEModel(RotH, graph.num_entities, graph.num_relations, config, settings.seed)
    return QueryFeed(graph, BATCH, NEGATIVES, seed=settings.seed), model


def candidates(settings: argparse.Namespace) -> list[Candidate]:
    kgemb, name = (restated, "KGEmb, restated") if settings.kgemb is None else (checkout, "KGEmb")
    return [
        Candidate("mulde", lambda it: ours(it)),
        Candidate("mulde, fused (torch.compile)", lambda it: ours(it, fused=True)),
        Candidate("mulde, float64", lambda it: ours(it, "float64")),
        Candidate(f"{name}, float64", lambda it: kgemb(it, "float64")),
        Candidate(f"{name}, float32", lambda it: kgemb(it, "float32")),
        Candidate("PyKEEN sLCWA, as shipped", pykeens),
        Candidate("PyKEEN sLCWA, glibc keeps memory", pykeens, KEEP_MEMORY),
    ]


if __name__ == "__main__":
    compare(
        __doc__ or "",
        f"One training step, RotH {DIM}-d, {NEGATIVES} negatives, batch {BATCH}, float32 unless stated; median",
        candidates,
        lambda parser: parser.add_argument("--kgemb", type=Path, help="checkout of KGEmb") and None,
        compared="ms",
    )
