"""Filtered evaluation of the test split, both directions: mulde, KGEmb and PyKEEN on a trained RotH 32-d.

    python -m benchmarks.speed.evaluation                        (two graphs; about three minutes)
    python -m benchmarks.speed.evaluation --fraction 1           measure the others on the whole split, too

The others are measured on an evenly spaced part of the test triples, and their time is extrapolated. All rank the same
pretrained RotH; the MRR is that of the triples that were ranked, embeddings only unless stated.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.harness.side_by_side import KEEP_MEMORY, Candidate, Peak, Row, compare

BUNDLES = {"fb15k-237": "fb15k-237-roth-32", "wn18rr": "wn18rr-32"}


def ours(settings: argparse.Namespace, embeddings_only: bool = True) -> Row:
    """`mulde evaluate` after loading; building the filter counts. By default embeddings only, as the others."""
    import statistics

    from mulde.engine import process
    from mulde.kge.evaluation.link_prediction import evaluate

    process.start()
    graph, model = _graph_and_model(settings)
    peak = Peak()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = evaluate(model, graph, embeddings_only=embeddings_only)
        times.append(time.perf_counter() - start)
    return _row(statistics.median(times), 1.0, result.metrics()["mrr"], peak)


def restated(settings: argparse.Namespace) -> Row:
    """KGEmb's ranking in float64, its published precision, restated (harness/kgemb.py)."""
    import torch

    from benchmarks.harness import kgemb
    from kge_data.inverse import with_reciprocals
    from mulde.kge.evaluation.link_prediction import known_answers

    graph, model = _graph_and_model(settings)
    theirs, known = kgemb.RotH(_with_curvature_for_each_relation(model).double()), known_answers(graph)
    triples = torch.from_numpy(with_reciprocals(_some(graph, settings)))
    peak = Peak()
    start = time.perf_counter()
    ranks = theirs.ranks(triples, known)
    seconds = time.perf_counter() - start
    return _row(seconds, 2 * len(graph.test) / len(triples), float((1 / ranks).mean()), peak)


def pykeens(settings: argparse.Namespace) -> Row:
    """PyKEEN's evaluator on the same model, converted."""
    import torch
    from pykeen.evaluation import RankBasedEvaluator

    from mulde.pykeen import to_pykeen

    graph, model = _graph_and_model(settings)
    network = to_pykeen(model, graph).eval()
    network.unmask_self_loops()  # embeddings only, as ours above
    some = torch.from_numpy(_some(graph, settings))
    known = [torch.from_numpy(part) for part in (graph.train, graph.valid, graph.test)]
    peak = Peak()
    start = time.perf_counter()
    result = RankBasedEvaluator(filtered=True).evaluate(
        network, some, additional_filter_triples=known, batch_size=256, use_tqdm=False
    )
    seconds = time.perf_counter() - start
    mrr = result.get_metric("both.realistic.inverse_harmonic_mean_rank")
    return _row(seconds, len(graph.test) / len(some), mrr, peak)


def _row(seconds: float, times: float, mrr: float, peak: Peak) -> Row:
    return {"seconds": seconds * times, "measured fraction": 1 / times, "MRR": mrr, "peak MB": peak.megabytes()}


def _some(graph: Any, settings: argparse.Namespace) -> Any:
    return graph.test[:: max(1, round(1 / settings.fraction))]


def _graph_and_model(settings: argparse.Namespace) -> tuple[Any, Any]:
    import kge_data
    from mulde.kge.storage.run_folder import open_model

    graph = kge_data.load(settings.data[0])
    return graph, open_model(BUNDLES[graph.name], graph).eval()


def _with_curvature_for_each_relation(model: Any) -> Any:
    """The same function with its curvature repeated, as KGEmb stores it."""
    from dataclasses import replace

    from mulde.kge.model.kge_model import KGEModel

    many = KGEModel(
        model.scorer, model.num_entities, model.num_relations, replace(model.config, curvature="per-relation")
    )
    raw = model.raw_curvature.detach().expand(2 * model.num_relations)
    many.load_state_dict({**model.state_dict(), "raw_curvature": raw})
    return many


def candidates(settings: argparse.Namespace) -> list[Candidate]:
    return [
        Candidate("mulde", ours),
        Candidate("mulde, with graph prior", lambda it: ours(it, embeddings_only=False)),
        Candidate("KGEmb, restated, float64", restated),
        Candidate("PyKEEN, as shipped", pykeens),
        Candidate("PyKEEN, glibc keeps memory", pykeens, KEEP_MEMORY),
    ]


if __name__ == "__main__":
    compare(
        __doc__ or "",
        "Filtered ranking of a test split, RotH 32-d; seconds for the whole split in both directions, "
        "extrapolated from the measured fraction",
        candidates,
        lambda parser: (
            parser.add_argument(
                "--fraction", type=float, default=0.1, help="part measured for the others (default: 0.1)"
            )
            and None
        ),
        compared="seconds",
    )
