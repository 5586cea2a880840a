"""Filtered evaluation of the test split, both directions, ours and that of others: a trained RotH 32-d model.

    python benchmarks/evaluation.py                        (two graphs; about three minutes)
    python benchmarks/evaluation.py --fraction 1              measure the others on the whole split, too

The others are measured on a share of the test triples, evenly spaced, and the table says what that makes of the whole.
All rank the same model, a RotH bundle in the box (``mulde list models``); the MRR is that of the triples that were
ranked.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from side_by_side import KEEP_MEMORY, Contestant, Peak, Row, compete

BUNDLES = {"fb15k-237": "fb15k-237-roth-32", "wn18rr": "wn18rr-32"}


def ours(settings: argparse.Namespace, embeddings_only: bool = True) -> Row:
    """`mulde evaluate` after the load: the filter is built within the measured time. ``alone``: by vectors, as the
    others; else with loops and closed world, as the command line does."""
    import statistics

    from mulde.engine import process
    from mulde.kge.evaluation.link_prediction import evaluate

    process.start(settings.threads)
    graph, model = _graph_and_model(settings)
    peak = Peak()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = evaluate(model, graph, embeddings_only=embeddings_only)
        times.append(time.perf_counter() - start)
    return _row(statistics.median(times), 1.0, result.metrics()["mrr"], peak)


def restated(settings: argparse.Namespace) -> Row:
    """KGEmb's ranking in float64, its published precision, restated (see kgemb.py)."""
    import kgemb
    import torch

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
    """PyKEEN's evaluator on the same model, converted, without mask."""
    import torch
    from pykeen.evaluation import RankBasedEvaluator

    from mulde.pykeen import to_pykeen

    torch.set_num_threads(settings.threads)
    graph, model = _graph_and_model(settings)
    network = to_pykeen(model, graph).eval()
    network.unmask_self_loops()  # as ours above
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
    return {"seconds": seconds * times, "measured share": 1 / times, "MRR": mrr, "peak MB": peak.megabytes()}


def _some(graph: Any, settings: argparse.Namespace) -> Any:
    return graph.test[:: max(1, round(1 / settings.share))]


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


def contestants(settings: argparse.Namespace) -> list[Contestant]:
    return [
        Contestant("mulde", ours),
        Contestant("mulde, loops and closed world", lambda it: ours(it, embeddings_only=False)),
        Contestant("KGEmb, restated, float64", restated),
        Contestant("PyKEEN, as shipped", pykeens),
        Contestant("PyKEEN, glibc keeps memory", pykeens, KEEP_MEMORY),
    ]


if __name__ == "__main__":
    compete(
        __doc__ or "",
        "Filtered ranking of a test split, RotH 32-d; seconds for the whole split in both directions, "
        "from the measured share of it",
        contestants,
        lambda parser: (
            parser.add_argument("--fraction", type=float, default=0.1, help="of the others (default: 0.1)") and None
        ),
        compared="seconds",
    )
