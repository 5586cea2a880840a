"""Exact top-10 with a bound by the first coordinates: candidates that it excludes, and the time that could be saved.

    python -m benchmarks.speed.screening                    (pretrained models; --model RUN for others)

By the inequality of Cauchy and Schwarz <q, t> is at most the product over the first k coordinates plus |q'| |t'| for
the others, so the similarity (``mulde/geometry/spaces.py``) has an upper bound. A candidate whose bound is below the
tenth best score is no answer. ``excluded`` is the share of such candidates, with the tenth best score known in advance:
no method that uses this bound excludes more. ``product`` is the part of the present time (`top 10`) that is the matrix
product of all coordinates; the bound needs one of k coordinates, so what it can save is a part of that. CPU times of
500 queries on one thread. Writes ``results/speed/screening/``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import records
from kge_data.inverse import forward_id
from mulde.kge.model import scoring, selection
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import Queries
from mulde.kge.storage.run_folder import graph_of, open_model

MODELS = ("wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32")
QUERIES, TOP, BLOCK = 500, 10, 12
SLACK = 1e-4  # of a score, for rounding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="run folder or name (repeats; default: pretrained models)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in options.model or MODELS:
        graph = graph_of(name, None, print)
        model = open_model(name, graph)
        some = np.random.default_rng(0).choice(len(graph.test), QUERIES, replace=False)
        rows += measured(name, model, torch.from_numpy(graph.test[some]))
    title = f"Exact screening of the best {TOP} tails: candidates excluded, and milliseconds of one thread per query"
    records.write_table(records.RESULTS / "speed/screening", title, rows)


@torch.no_grad()
def measured(name: str, model: KGEModel, triples: Tensor) -> list[records.Record]:
    """A row for each number of first coordinates, of triples (n, 3)."""
    queries, tails = model.query(triples[:, 0], forward_id(triples[:, 1])), model.tails()
    tenth = queries.points.new_empty(len(queries))

    def top() -> None:
        for rows, scores in scoring.blocks(queries, tails):
            tenth[rows] = selection.best(scores, TOP)[1][:, -1]

    def product(coordinates: int) -> Callable[[], None]:
        """The matrix products of some coordinates, in the blocks of `scoring.blocks`."""
        points, vectors = queries.points[:, :coordinates], tails.vectors[:, :coordinates].contiguous()
        height = max(1, scoring.BLOCK // len(tails))
        buffer = points.new_empty(height, len(tails))

        def multiply() -> None:
            for part in points.split(height):
                torch.mm(part, vectors.T, out=buffer[: len(part)])

        return multiply

    dim, rows = model.config.dim, []
    present, whole = milliseconds(top), milliseconds(product(dim))
    for first in (each for each in (4, 8, 16, 32) if each < dim):
        excluded = 0
        for start in range(0, len(queries), BLOCK):
            part = slice(start, start + BLOCK)
            excluded += int((bounds(model, queries[part], first) < tenth[part].unsqueeze(1) - SLACK).sum())
        rows.append({
            "model": name, "entities": len(tails), "dim": dim, "first": first,
            "excluded": excluded / len(tails) / len(queries), "top 10 ms": present, "product ms": whole,
            "product of first ms": milliseconds(product(first)),
        })  # fmt: skip
    return rows


def bounds(model: KGEModel, queries: Queries, first: int) -> Tensor:
    """Upper bounds (b, e) of all scores by the first coordinates."""
    tails = model.tails()
    space, vectors = tails.space, tails.vectors
    curvature = None if queries.curvature is None else queries.curvature.reshape(-1, 1)
    terms = tuple(term.unsqueeze(-1) for term in space.query_terms(queries.points, queries.curvature))
    tail_terms = space.tail_terms(vectors.square().sum(1).unsqueeze(0), curvature)
    rest = queries.points[:, first:].norm(dim=1, keepdim=True) * vectors[:, first:].norm(dim=1)
    inner = queries.points[:, :first] @ vectors[:, :first].T + rest
    (offset, scale, slope), (radial, stretch) = terms, tail_terms
    z = torch.addcmul(offset, scale, radial) + slope * stretch * inner  # the slope is negative where z is a distance
    scores = space.similarity(z if space.increasing else z.clamp_min(0), curvature)
    for bias in (None if queries.bias is None else queries.bias.unsqueeze(1), tails.bias):
        scores = scores if bias is None else scores + bias
    return scores


def milliseconds(compute: Callable[[], None]) -> float:
    """Least CPU time of three calls, per query."""
    times = []
    for _ in range(3):
        start = time.process_time()
        compute()
        times.append(time.process_time() - start)
    return 1e3 * min(times) / QUERIES


if __name__ == "__main__":
    main()
