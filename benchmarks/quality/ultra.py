"""ULTRA, pre-trained on other graphs, on the test split of a graph, alone and added to a pretrained model.

    KGE_DATA_HOME=... python -m benchmarks.quality.ultra --checkpoint ultra_3g.pth --data wn18rr --add wn18rr-32
    KGE_DATA_HOME=... python -m benchmarks.quality.ultra --checkpoint ultra_3g.pth --data fb15k-237 --sample 1000
    python -m benchmarks.quality.ultra --checkpoint ultra_50g.pth --data umls

Ranks are filtered, in both directions, by the strict protocol, and realistic; equal queries are scored once. With
``--add MODEL`` the sums are those of `mulde evaluate --add`, with weights that 1,000 validation triples choose. Of a
graph whose test triples are partly in the pre-training, only the others are ranked. Writes ``results/ultra/``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

import kge_data
from benchmarks.harness import records
from kge_data.inverse import with_reciprocals
from mulde.engine import process
from mulde.files import sha256_of
from mulde.kge.evaluation.added_source import WEIGHTS, compare, conditions, drawn
from mulde.kge.storage.run_folder import open_model
from mulde.metrics.ranks import Ranks, mean_interval
from mulde.ultra.checkpoint import open_ultra
from mulde.ultra.pretraining import pretraining
from mulde.ultra.teacher import UltraTeacher

VALID = 1000  # validation triples that choose the weights
SUM = ("added to", "alone", "sum", "gain, 95 %", "weight")
TITLES = {"embeddings_only": "", "with_prior": " with prior"}


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="file of a public checkpoint")
    parser.add_argument("--data", required=True, help="graph")
    parser.add_argument("--sample", type=int, help="test triples that are ranked (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    parser.add_argument("--add", help="pretrained model of this graph that ULTRA is added to")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "ultra", help="(default: results/ultra)")
    options = parser.parse_args()
    process.start()
    words = [options.checkpoint.name if word == str(options.checkpoint) else word for word in sys.argv[1:]]
    command = " ".join(["python", "-m", "benchmarks.quality.ultra", *words])
    made = {**measured(options), "command": command}
    records.write(options.out, [*(it for it in records.read(options.out) if it["run"] != made["run"]), made])
    write_table(options.out)


class Timed:
    """A ranker whose processor time is measured."""

    def __init__(self, ranker: UltraTeacher) -> None:
        self.ranker, self.seconds = ranker, 0.0

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Those of the ranker."""
        blocks = self.ranker.blocks(heads, relations)
        while True:
            begun = time.process_time()
            block = next(blocks, None)
            self.seconds += time.process_time() - begun
            if block is None:
                return
            yield block


def measured(options: argparse.Namespace) -> records.Record:
    """Metrics of ULTRA, and of its sums with a model."""
    graph, checkpoint = kge_data.load(options.data), options.checkpoint
    ultra = Timed(UltraTeacher(open_ultra(checkpoint), graph, leave_out=False))
    model = None if options.add is None else open_model(options.add, graph)
    names = [] if model is None else conditions(model)
    some = graph.valid[drawn(len(graph.valid), VALID, options.seed)] if names else graph.valid[:0]
    seen = pretraining(checkpoint, graph)
    clean = graph.test[~seen.triples]
    test = clean[drawn(len(clean), options.sample, options.seed)]
    with tqdm(total=2 * (len(some) + len(test)), unit="query", disable=None) as bar:
        valid = compare(model, ultra, graph, some, dict.fromkeys(names, WEIGHTS), progress=bar.update)
        best, ultra.seconds = valid.best(), 0.0
        weights = {name: (0.0, best[name]) for name in names}
        found = compare(model, ultra, graph, test, weights, progress=bar.update)
    queries = len(np.unique(with_reciprocals(test)[:, :2], axis=0))
    record: records.Record = {
        "run": f"{graph.name}-{checkpoint.stem}-{options.add}-{options.seed}",
        "data": {"name": graph.name, "checksum": graph.checksum}, "checkpoint": checkpoint.name,
        "sha256": sha256_of(checkpoint), "split": "test", "triples": len(test), "of": len(graph.test),
        "seed": options.seed, "pretraining": str(seen), "milliseconds_per_query": 1e3 * ultra.seconds / queries,
        "metrics": {"embeddings_only": _metrics(found.source)}, **records.environment(),
    }  # fmt: skip
    if model is not None:
        record["added"] = {"model": options.add}
    for name in names:
        alone, both = found.sums[name][0.0], found.sums[name][best[name]]
        gain = _reciprocal(both) - _reciprocal(alone)
        record["added"][name] = {
            "weight": best[name], "metrics": _metrics(both), "alone": _metrics(alone), "gain": float(gain.mean()),
            "valid_mrr": {str(weight): it.metrics()["mrr"] for weight, it in valid.sums[name].items()},
            "gain_interval_95": mean_interval(gain),
        }  # fmt: skip
    return record


def _reciprocal(found: Ranks) -> NDArray[np.float64]:
    """The mean reciprocal rank of each triple (n,)."""
    mean: NDArray[np.float64] = (1 / found.ranks()).reshape(2, -1).mean(0)
    return mean


def _metrics(found: Ranks) -> dict[str, Any]:
    return {**found.metrics(), "mrr_interval_95": mean_interval(_reciprocal(found))}


def _sum(added: dict[str, Any], name: str) -> dict[str, Any]:
    """The columns of a sum, under one condition of the model."""
    found = added[name]
    gain = "{:+.4f}, {:+.4f} to {:+.4f}".format(found["gain"], *found["gain_interval_95"])
    values = f"{added['model']}{TITLES[name]}", found["alone"]["mrr"], found["metrics"]["mrr"], gain, found["weight"]
    return dict(zip(SUM, values, strict=True))


def write_table(folder: Path) -> None:
    """A row for each measurement, and for each condition of a model that ULTRA was added to."""
    rows = []
    for it in records.read(folder):
        only, added = it["metrics"]["embeddings_only"], it.get("added", {})
        low, high = only["mrr_interval_95"]
        row = {
            "data": it["data"]["name"], "checkpoint": it["checkpoint"],
            "test triples": f"{it['triples']:,} of {it['of']:,}", "MRR": only["mrr"],
            "95 %": f"{low:.4f} to {high:.4f}", "Hits@1": only["hits@1"], "Hits@10": only["hits@10"],
            "ms a query": it["milliseconds_per_query"],
        }  # fmt: skip
        sums = [_sum(added, name) for name in TITLES if name in added] or [dict.fromkeys(SUM)]
        rows += [{**row, **each} for each in sums]
    title = (
        "ULTRA without training on the graph: filtered, both directions, strict protocol, realistic. Its pre-training "
        "has seen the training splits of FB15k-237, WN18RR and CoDEx-M (records.jsonl: pretraining). Milliseconds are "
        "those of one thread; sums are of log softmax, the weight from validation triples"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
