"""A graph of 5 million entities and 30 million triples: reading, one epoch of training, a sampled evaluation.

    python -m benchmarks.speed.large_graph --scale 0.02 --folder runs/large
    python -m benchmarks.speed.large_graph --folder runs/large                 the whole graph
    python -m benchmarks.speed.large_graph --scale 0.02 --compare              a few hundred steps, dense against sparse

The graph is generated (numpy, fixed seeds) with planted structure: entities belong to communities of 5,000; each of the
20 relations leads from an entity to members of its own community, with probabilities proportional to 1, 1/2, 1/3, ...
in an order of the relation's own. Random ranks and popularity are printed for comparison. The same command continues an
interrupted one. Writes ``results/speed/large_graph/``, with --compare ``results/speed/large_graph_updates/``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import kge_data
from benchmarks.harness import records
from kge_data.formats.tsv import BYTES_PER_BLOCK
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.engine import Trainer, process
from mulde.files import write_atomically, written_atomically
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.feeds import QueryFeed
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Training
from mulde.kge.storage.run_folder import find_scorer
from mulde.kge.training import stage, supervised
from mulde.kge.training.optimizers import optimizer_of
from mulde.kge.training.supervised import Supervised

ENTITIES, TRIPLES, RELATIONS, COMMUNITY = 5_000_000, 30_000_000, 20, 5_000
VALID, TEST, BLOCK = 200, 2_000, 1_000_000
FIT = Training(
    epochs=1, batch_size=1024, negatives=8, optimizer="adagrad", lr=0.1, schedule="constant", sparse=True, eval_every=1,
    checkpoint_every=300,
)  # fmt: skip
SHAPE = ModelConfig(dim=32)


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Measure:
    """Prints and keeps time and memory of each part; a part done by an earlier call keeps its figures."""

    def __init__(self, path: Path) -> None:
        self.path, self.imported = path, peak()
        self.rows: list[dict[str, Any]] = []
        self.kept: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def __call__(
        self, name: str, began: tuple[float, float], count: int = 0, done_before: bool = False, **more: Any
    ) -> None:
        wall, processor = (now - then for now, then in zip((time.monotonic(), time.process_time()), began, strict=True))
        row = {"part": name, "seconds": wall, "processor seconds": processor, "peak MB": peak() - self.imported, **more}
        if count:
            row["triples/s"] = round(count / wall)
        if done_before:  # by an earlier call, whose figures may be missing
            row = self.kept.get(name, {"part": f"{name} (done before)"})
        self.rows.append(row)
        self.kept[row["part"]] = row
        write_atomically(self.path, json.dumps(self.kept, indent=1).encode())
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)

    @staticmethod
    def start() -> tuple[float, float]:
        return time.monotonic(), time.process_time()


def record(folder: Path, title: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> None:
    """Write the records and the table."""
    about = {"command": " ".join(["python", "-m", "benchmarks.speed.large_graph", *sys.argv[1:]]), **more}
    records.write(folder, [{**row, **about, **records.environment()} for row in rows])
    records.write_table(folder, title, rows)


def triples(count: int, entities: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Triples (count, 3) with the planted structure; the community of an entity is its id modulo their number."""
    communities = max(2, entities // COMMUNITY)
    members = entities // communities
    orders = np.stack([np.random.default_rng(relation).permutation(members) for relation in range(RELATIONS)])
    falling = np.cumsum(1 / np.arange(1, members + 1))
    heads, relations = draw.integers(0, entities, count), draw.integers(0, RELATIONS, count)
    place = np.minimum(np.searchsorted(falling, draw.random(count) * falling[-1]), members - 1)
    return np.stack([heads, relations, orders[relations, place] * communities + heads % communities], axis=1)


def write(path: Path, count: int, entities: int, seed: int) -> None:
    """Write a split as tab-separated text, in blocks of bytes."""
    width = 7
    draw = np.random.default_rng(seed)
    with written_atomically(path) as stream:
        for start in range(0, count, BLOCK):
            part = triples(min(BLOCK, count - start), entities, draw)
            line = np.empty((len(part), 2 * width + 8), dtype=np.uint8)
            line[:] = np.frombuffer(f"e{'0' * width}\tr00\te{'0' * width}\n".encode(), dtype=np.uint8)
            for column, first, digits in ((0, 1, width), (1, width + 3, 2), (2, width + 7, width)):
                for place in range(digits):
                    line[:, first + place] = 48 + part[:, column] // 10 ** (digits - 1 - place) % 10
            stream.write(line.tobytes())


class Popularity:
    """Ranks every entity by the number of training triples that have it as tail."""

    def __init__(self, graph: TripleSet):
        self.counts = torch.from_numpy(np.bincount(graph.train[:, 2], minlength=graph.num_entities)).float()

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for row in range(len(heads)):
            yield torch.tensor([row]), self.counts.unsqueeze(0)


def compare(graph: TripleSet, scorer: str, steps: int, batch: int) -> list[dict[str, Any]]:
    """Milliseconds of a step with dense and with sparse updates, alternating, twice."""
    rows = []
    for sparse in (False, True, False, True):
        fit = replace(FIT, sparse=sparse, batch_size=batch)
        size = graph.num_entities, graph.num_relations
        model = KGEModel(find_scorer(scorer), *size, SHAPE).use_sparse_gradients(sparse)
        trainer = Trainer(optimizers=optimizer_of(fit, SHAPE, 0.1, all_entities=False), progress=False)
        feed = QueryFeed(graph, fit.batch_size, fit.negatives)
        wall, processor = time.monotonic(), time.process_time()
        trainer.fit(Supervised(model, supervised.Config()), feed, steps=steps, name=None)
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        each = {"ms a step": 1000 * wall / steps, "processor ms a step": 1000 * processor / steps}
        rows.append(
            {"updates": "sparse" if sparse else "dense", "entities": graph.num_entities, "batch": batch, **each}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the whole graph (default: 1)")
    parser.add_argument("--folder", type=Path, default=Path("runs/large"), help="graph and run folders")
    parser.add_argument("--scorer", default="euclidean_transe")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--sample", type=int, default=500, help="test triples ranked against all entities")
    parser.add_argument("--compare", action="store_true", help="only time dense against sparse updates")
    parser.add_argument("--steps", type=int, default=20, help="steps of --compare")
    parser.add_argument("--batch", type=int, default=FIT.batch_size, help="queries per update")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "speed", help="(default: results/speed)")
    options = parser.parse_args()
    process.start()
    with process.threads(options.threads):
        parts(options)


def parts(options: argparse.Namespace) -> None:
    """Measure each part of a training on a generated graph."""
    place = options.folder / f"scale-{options.scale:g}"
    data = place / "data"
    data.mkdir(parents=True, exist_ok=True)
    measure = Measure(place / "parts.json")
    os.environ["KGE_DATA_CACHE"] = str(place / "cache")  # a cache of its own
    entities, count = int(ENTITIES * options.scale), int(TRIPLES * options.scale)

    began = measure.start()
    splits = [(data / f"{split}.tsv", size) for split, size in (("train", count), ("valid", VALID), ("test", TEST))]
    there = all(path.exists() for path, _ in splits)
    for seed, (path, size) in enumerate(splits):
        if not path.exists():
            write(path, size, entities, seed)
    measure("generate", began, count, there)

    began = measure.start()
    cached = any(place.glob("cache/**/*.*"))
    graph = kge_data.load(data)
    measure(f"load, from text, {BYTES_PER_BLOCK >> 20} MB at a time", began, count, cached)
    print(graph)
    threads = f"{torch.get_num_threads()} thread(s)"
    if options.compare:
        rows = compare(graph, options.scorer, options.steps, options.batch)
        title = f"One update of {SHAPE.dim}-d {options.scorer}, Adagrad, dense and sparse in turn; {threads}"
        record(options.out / "large_graph_updates", title, rows, steps=options.steps)
        return

    began = measure.start()
    known = known_answers(graph, with_reciprocals(graph.valid))
    fit = replace(FIT, batch_size=options.batch)
    outcome = stage.train(
        options.scorer,
        graph,
        supervised.Config(model=SHAPE, training=fit),
        place / f"run-{options.batch}",
        source=str(data),
        known=known,
    )
    fitted = outcome.record  # its clock continues with the training
    speed = {"triples/s": round(count / fitted.seconds)}
    measure(f"train one epoch, {SHAPE.dim}-d, batch {fit.batch_size}", began, 0, fitted.reused, **speed)

    tested = f"{options.sample:,} test triples"
    for name, ranker in (("model", outcome.model), ("popularity", Popularity(graph))):
        began = measure.start()
        found = evaluate(ranker, graph, "test", sample=options.sample)
        low, high = found.interval()
        metrics = found.metrics()
        measure(
            f"rank all entities for {tested}: {name}", began, 0, **{
                "MRR": f"{metrics['mrr']:.3g}", "95 % interval": f"{low:.3g} to {high:.3g}",
                "hits@10": f"{metrics['hits@10']:.3g}", "adjusted mean rank": f"{metrics['amr']:.3g}",
            }
        )  # fmt: skip
    chance = (np.log(graph.num_entities) + np.euler_gamma) / graph.num_entities
    last = {"part": "chance", "MRR": f"{chance:.2g}", "adjusted mean rank": "1"}
    title = (
        f"{graph.num_entities:,} entities, {count:,} triples with planted structure, {options.scorer}; peak memory of "
        f"the process so far, above the {measure.imported:,.0f} MB after imports; a random sample of the test split, "
        f"filtered, both directions, realistic ranks; {threads}"
    )
    about = {"sample": options.sample, "data": {"name": "generated", "checksum": graph.checksum}}
    record(options.out / "large_graph", title, [*measure.rows, last], **about)


if __name__ == "__main__":
    main()
