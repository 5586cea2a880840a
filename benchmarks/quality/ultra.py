"""ULTRA, pre-trained on other graphs, on the test split of a graph, alone and added to a pretrained model.

    KGE_DATA_HOME=... python -m benchmarks.quality.ultra --checkpoint ultra_3g.pth --data wn18rr --add wn18rr-32
    KGE_DATA_HOME=... python -m benchmarks.quality.ultra --checkpoint ultra_3g.pth --data fb15k-237 --sample 2000
    KGE_DATA_HOME=... python -m benchmarks.quality.ultra --checkpoint ultra_50g.pth --data umls

Ranks are filtered, in both directions, by the strict protocol, and realistic; every distinct query is scored once. With
``--add MODEL``, the scores of a query are log softmax of the model (embeddings only) plus w times that of ULTRA; w is
the best of a few by the MRR of 1,000 validation triples. Of a graph whose test triples are partly in the pre-training,
only the others are ranked. The command continues where it was interrupted. Writes ``results/ultra/``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import kge_data
from benchmarks.harness import records
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.files import checked_zip, make_folder, sha256_of, written_atomically
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.storage.run_folder import open_model
from mulde.metrics.ranks import Ranks, mean_interval, rank
from mulde.ultra.checkpoint import open_ultra
from mulde.ultra.pretraining import pretraining
from mulde.ultra.teacher import UltraTeacher

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
VALID = 1000  # validation triples that choose the weight


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="file of a public checkpoint")
    parser.add_argument("--data", required=True, help="graph")
    parser.add_argument("--sample", type=int, help="test triples that are ranked (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    parser.add_argument("--add", help="pretrained model of this graph that ULTRA is added to")
    parser.add_argument("--runs", type=Path, default=Path("runs/ultra"), help="unfinished work (default: runs/ultra)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "ultra", help="(default: results/ultra)")
    options = parser.parse_args()
    process.start()
    words = [options.checkpoint.name if word == str(options.checkpoint) else word for word in sys.argv[1:]]
    command = " ".join(["python", "-m", "benchmarks.quality.ultra", *words])
    records.append(options.out, {**measured(options), "command": command})
    write_table(options.out)


def measured(options: argparse.Namespace) -> records.Record:
    """Metrics of ULTRA, and of the sum with the best weight."""
    graph, checkpoint = kge_data.load(options.data), options.checkpoint
    ultra = UltraTeacher(open_ultra(checkpoint), graph, leave_out=False)
    model = None if options.add is None else open_model(options.add, graph)
    seen = pretraining(checkpoint, graph)
    clean = np.flatnonzero(~seen.triples)
    chosen = drawn(clean, options.sample, options.seed)
    name = f"{graph.name}-{checkpoint.stem}-{options.add}-{options.seed}"
    test = ranks(ultra, model, graph, graph.test[chosen], options.runs / f"{name}-test-{len(chosen)}.npz")
    found: records.Record = {
        "run": name, "data": {"name": graph.name, "checksum": graph.checksum}, "checkpoint": checkpoint.name,
        "sha256": sha256_of(checkpoint), "split": "test", "triples": len(chosen), "of": len(graph.test),
        "seed": options.seed, "pretraining": str(seen), "milliseconds_per_query": test.milliseconds,
        "metrics": {"embeddings_only": _metrics(test.of("ultra"))}, **records.environment(),
    }  # fmt: skip
    if model is None:
        return found
    some = drawn(np.arange(len(graph.valid)), VALID, options.seed)
    valid = ranks(ultra, model, graph, graph.valid[some], options.runs / f"{name}-valid-{len(some)}.npz")
    mrr = {weight: valid.of(f"sum {weight}").metrics()["mrr"] for weight in WEIGHTS}
    best = max(mrr, key=lambda weight: mrr[weight])
    gain = test.reciprocal(f"sum {best}") - test.reciprocal("sum 0.0")
    found["added"] = {
        "model": options.add, "weight": best, "valid_mrr": mrr, "metrics": _metrics(test.of(f"sum {best}")),
        "alone": _metrics(test.of("sum 0.0")), "gain": float(gain.mean()), "gain_interval_95": mean_interval(gain),
    }  # fmt: skip
    return found


def drawn(numbers: NDArray[np.int64], count: int | None, seed: int) -> NDArray[np.int64]:
    """Some of the numbers, ascending; all of them where they are not more."""
    if count is None or count >= len(numbers):
        return numbers
    return np.sort(np.random.default_rng(seed).choice(numbers, count, replace=False))


class Found:
    """Counts of better and tied candidates (2n, variants) and the CPU time, kept in a file until all are there."""

    def __init__(self, path: Path, count: int, names: list[str]) -> None:
        self.path, self.names = path, names
        self.better, self.tied = (np.full((count, len(names)), -1, dtype=np.int64) for _ in range(2))
        self.candidates, self.seconds, self.queries = np.zeros(count, dtype=np.int64), 0.0, 0
        if path.is_file():
            with checked_zip(path) as stream, np.load(stream, allow_pickle=False) as stored:
                self.better, self.tied, self.candidates = stored["better"], stored["tied"], stored["candidates"]
                self.seconds, self.queries = float(stored["seconds"]), int(stored["queries"])

    def keep(self) -> None:
        """Write what there is."""
        make_folder(self.path.parent)
        with written_atomically(self.path) as stream:
            np.savez(
                stream, better=self.better, tied=self.tied, candidates=self.candidates, seconds=self.seconds,
                queries=self.queries,
            )  # fmt: skip

    def of(self, name: str) -> Ranks:
        """The ranks of a variant."""
        place = self.names.index(name)
        return Ranks(self.better[:, place], self.tied[:, place], self.candidates)

    def reciprocal(self, name: str) -> NDArray[np.float64]:
        """The mean reciprocal rank of each triple (n,)."""
        mean: NDArray[np.float64] = (1 / self.of(name).ranks()).reshape(2, -1).mean(0)
        return mean

    @property
    def milliseconds(self) -> float:
        """CPU time of ULTRA for a distinct query."""
        return 1e3 * self.seconds / max(self.queries, 1)


def ranks(ultra: UltraTeacher, model: Any, graph: TripleSet, triples: NDArray[np.int64], path: Path) -> Found:
    """Rank triples (n, 3) in both directions, relation by relation."""
    queries = with_reciprocals(triples)
    known = known_answers(graph, queries)
    heads, relations, targets = torch.from_numpy(queries).T
    found = Found(path, len(queries), ["ultra", *(f"sum {weight}" for weight in WEIGHTS if model is not None)])
    for relation in relations.unique().tolist():
        rows = torch.from_numpy(np.flatnonzero((relations.numpy() == relation) & (found.better[:, 0] < 0)))
        if not len(rows):
            continue
        begun = time.process_time()
        for some, scores in ultra.blocks(heads[rows], relations[rows]):
            found.seconds += time.process_time() - begun
            own = rows[some]
            filtered = [torch.from_numpy(ids) for ids in known.gather(heads[own].numpy(), relations[own].numpy())]
            for place, each in enumerate(variants(scores, model, heads[own], relations[own])):
                part = rank(each, targets[own], *filtered)
                found.better[own.numpy(), place], found.tied[own.numpy(), place] = part.better, part.tied
                found.candidates[own.numpy()] = part.candidates
            begun = time.process_time()
        found.queries += len(heads[rows].unique())
        found.keep()
        print(f"{path.stem}: {(found.better[:, 0] >= 0).mean():.1%}", flush=True)
    return found


def variants(scores: Tensor, model: Any, heads: Tensor, relations: Tensor) -> list[Tensor]:
    """The scores of ULTRA (b, e), and the sums with those of the model."""
    if model is None:
        return [scores]
    own, other = model.score_all(heads, relations).log_softmax(1), scores.log_softmax(1)
    return [scores, *(own + weight * other for weight in WEIGHTS)]


def _metrics(found: Ranks) -> dict[str, Any]:
    reciprocal = (1 / found.ranks()).reshape(2, -1).mean(0)
    return {**found.metrics(), "mrr_interval_95": mean_interval(reciprocal)}


def write_table(folder: Path) -> None:
    """A row for each measurement."""
    rows = []
    for it in records.read(folder):
        only, added = it["metrics"]["embeddings_only"], it.get("added", {})
        low, high = only["mrr_interval_95"]
        row = {
            "data": it["data"]["name"], "checkpoint": it["checkpoint"],
            "test triples": f"{it['triples']:,} of {it['of']:,}", "MRR": only["mrr"],
            "95 %": f"{low:.4f} to {high:.4f}", "Hits@1": only["hits@1"], "Hits@10": only["hits@10"],
            "ms a query": it["milliseconds_per_query"], "added to": added.get("model"), "alone": None, "sum": None,
            "gain, 95 %": None, "weight": added.get("weight"),
        }  # fmt: skip
        if added:
            row |= {"alone": added["alone"]["mrr"], "sum": added["metrics"]["mrr"]}
            row["gain, 95 %"] = "{:+.4f}, {:+.4f} to {:+.4f}".format(added["gain"], *added["gain_interval_95"])
        rows.append(row)
    title = (
        "ULTRA without training on the graph: filtered, both directions, strict protocol, realistic. Its pre-training "
        "has seen the training splits of FB15k-237, WN18RR and CoDEx-M (records.jsonl: pretraining). Milliseconds are "
        "those of one thread; sums are of log softmax, with embeddings only, the weight from validation triples"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
