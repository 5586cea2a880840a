"""A graph of 5 million entities and 30 million triples: reading, one epoch of training, a sampled evaluation.

The graph is generated (numpy, fixed seeds) with planted structure: entities lie in communities of 5,000; each of the 20
relations leads from an entity to members of its own community, with probabilities that fall like 1, 1/2, 1/3, ... in an
order of the relation's own. A model that finds this ranks the members first that are frequent for the relation in the
right community. Chance and plain popularity are printed beside the model.

    python benchmarks/large_graph.py --scale 0.02 --folder runs/large
    python benchmarks/large_graph.py --folder runs/large                 the whole graph
    python benchmarks/large_graph.py --scale 0.02 --compare              a few hundred steps, dense against sparse

The same command continues where it was stopped: files that are there are kept, and training has checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import kge_data
from kge_data.inverse import with_reciprocals
from kge_data.reading import BYTES_PER_BLOCK
from kge_data.tripleset import TripleSet
from mulde import process
from mulde.engine import Trainer
from mulde.files import written_atomically
from mulde.kge import stages
from mulde.kge.feeds import QueryFeed
from mulde.kge.link_prediction import evaluate, known_answers
from mulde.kge.pretrain import Pretrain
from mulde.kge.saved import find_scorer
from mulde.scorers.model import KGEModel, ModelConfig

ENTITIES, TRIPLES, RELATIONS, COMMUNITY = 5_000_000, 30_000_000, 20, 5_000
VALID, TEST, BLOCK = 200, 2_000, 1_000_000
FIT = stages.FitConfig(
    epochs=1, batch_size=1024, negatives=8, optimizer="adagrad", lr=0.1, schedule="constant", sparse=True, every=1,
    checkpoint_every=300,
)  # fmt: skip
SHAPE = ModelConfig(dim=32)


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Measure:
    """Prints and collects what each part took."""

    def __init__(self) -> None:
        self.imported, self.rows = peak(), []

    def __call__(self, name: str, began: tuple[float, float], count: int = 0, **more: float) -> None:
        wall, processor = (now - then for now, then in zip((time.monotonic(), time.process_time()), began, strict=True))
        row = {"part": name, "seconds": wall, "processor seconds": processor, "peak MB": peak() - self.imported, **more}
        if count:
            row |= {"triples/s": count / wall, "triples per processor second": count / processor}
        self.rows.append(row)
        print(
            "  ".join(f"{key} {value:,.6g}" if isinstance(value, float) else str(value) for key, value in row.items())
        )

    @staticmethod
    def start() -> tuple[float, float]:
        return time.monotonic(), time.process_time()


def triples(count: int, entities: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """(count, 3) with the planted structure; an entity's community is its number modulo that of the communities."""
    communities = max(2, entities // COMMUNITY)
    members = entities // communities
    orders = np.stack([np.random.default_rng(relation).permutation(members) for relation in range(RELATIONS)])
    falling = np.cumsum(1 / np.arange(1, members + 1))
    heads, relations = draw.integers(0, entities, count), draw.integers(0, RELATIONS, count)
    place = np.minimum(np.searchsorted(falling, draw.random(count) * falling[-1]), members - 1)
    return np.stack([heads, relations, orders[relations, place] * communities + heads % communities], axis=1)


def write(path: Path, count: int, entities: int, seed: int) -> None:
    """Write a split as tab-separated text; no Python object for a triple or a label."""
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
    """Ranks every entity by how many training triples it stands in as tail, whatever the question."""

    def __init__(self, graph: TripleSet):
        self.counts = torch.from_numpy(np.bincount(graph.train[:, 2], minlength=graph.num_entities)).float()

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for row in range(len(heads)):
            yield torch.tensor([row]), self.counts.unsqueeze(0)


def compare(graph: TripleSet, scorer: str, steps: int, batch: int) -> None:
    """Milliseconds for a step with dense and with sparse updates, in one process, one after the other."""
    for sparse in (False, True, False, True):
        fit = replace(FIT, sparse=sparse, batch_size=batch)
        model = KGEModel(find_scorer(scorer), graph.num_entities, graph.num_relations, SHAPE)
        model.sparse = sparse
        trainer = Trainer(optimizers=stages._optimizer(fit, SHAPE), progress=False)
        feed = QueryFeed(graph, fit.batch_size, fit.negatives)
        wall, processor = time.monotonic(), time.process_time()
        trainer.fit(Pretrain(model), feed, steps=steps, name=None)
        wall, processor = time.monotonic() - wall, time.process_time() - processor
        kind = "sparse" if sparse else "dense"
        print(
            f"{graph.num_entities:,} entities, batch {batch}, {kind}: {1000 * wall / steps:.1f} ms a step, "
            f"{1000 * processor / steps:.1f} ms of processor time"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole graph (default: 1)")
    parser.add_argument("--folder", type=Path, default=Path("runs/large"), help="where everything is kept")
    parser.add_argument("--scorer", default="euclidean_transe")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--sample", type=int, default=500, help="test triples ranked against all entities")
    parser.add_argument("--compare", action="store_true", help="only time dense against sparse updates")
    parser.add_argument("--steps", type=int, default=20, help="of --compare")
    parser.add_argument("--batch", type=int, default=FIT.batch_size, help="queries per update")
    options = parser.parse_args()
    process.start(options.threads)
    measure = Measure()
    place = options.folder / f"scale-{options.scale:g}"
    data = place / "data"
    data.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("KGE_DATA_CACHE", str(place / "cache"))
    entities, count = int(ENTITIES * options.scale), int(TRIPLES * options.scale)

    began = measure.start()
    for seed, (split, size) in enumerate((("train", count), ("valid", VALID), ("test", TEST))):
        if not (data / f"{split}.tsv").exists():
            write(data / f"{split}.tsv", size, entities, seed)
    measure("generate", began, count)

    began = measure.start()
    graph = kge_data.load(data)
    measure(f"load ({BYTES_PER_BLOCK >> 20} MB of text at a time; a second load takes the cache)", began, count)
    print(graph)
    if options.compare:
        compare(graph, options.scorer, options.steps, options.batch)
        return

    began = measure.start()
    known = known_answers(graph, with_reciprocals(graph.valid))
    fit = replace(FIT, batch_size=options.batch)
    outcome = stages.train(
        options.scorer, graph, fit, SHAPE, place / f"run-{options.batch}", source=str(data), known=known
    )
    seconds = outcome.record.seconds
    measure(
        "train one epoch", began, count, queries_per_second=2 * count / seconds, reused=float(outcome.record.reused)
    )

    for name, ranker in (("model", outcome.model), ("popularity", Popularity(graph))):
        began = measure.start()
        found = evaluate(ranker, graph, "test", sample=options.sample)
        low, high = found.interval()
        chosen = {key: value for key, value in found.metrics().items() if key != "hits@3"}
        measure(f"test, a random sample of {len(found.triples)} triples, all entities: {name}", began, **chosen)
        print(f"  95 % interval of the MRR {low:.5f} to {high:.5f}; tail {found.by_direction()['tail']['mrr']:.5f}")
    chance = (np.log(graph.num_entities) + np.euler_gamma) / graph.num_entities
    print(f"chance: MRR {chance:.2g}, adjusted mean rank 1")
    (place / "result.json").write_text(json.dumps(measure.rows, indent=2))


if __name__ == "__main__":
    main()
