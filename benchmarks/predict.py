"""How fast `mulde predict --queries` answers, and in how much memory.

A random model in the shape of WN18RR (40,943 entities, 11 relations, 32 dimensions, both biases, curvature per
relation) and a million random questions, half (h, r, ?) and half (?, r, t), through the same function as the command.

    python benchmarks/predict.py --queries 1000000
    python benchmarks/predict.py --queries 20000 --format parquet
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kge_data.tripleset import TripleSet
from mulde import process
from mulde.kge.bulk import answer_file
from mulde.kge.chunks import Settings
from mulde.scorers.model import KGEModel, ModelConfig
from mulde.scorers.roth import RotH

ENTITIES, RELATIONS, TRIPLES, DIM = 40_943, 11, 93_003, 32


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--format", default="csv", choices=("csv", "tsv", "parquet"))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--new", action="store_true")
    options = parser.parse_args()
    process.start(options.threads)
    imported = peak()
    draw = np.random.default_rng(0)
    names = tuple(f"{number:08}" for number in range(ENTITIES))
    relations = tuple(f"_relation_{number:02}" for number in range(RELATIONS))
    triples = np.stack([draw.integers(0, size, TRIPLES) for size in (ENTITIES, RELATIONS, ENTITIES)], axis=1)
    graph = TripleSet("random", triples[:-6000], triples[-6000:-3000], triples[-3000:], names, relations)
    model = KGEModel(RotH, ENTITIES, RELATIONS, ModelConfig(dim=DIM, init_scale=0.3))
    with torch.no_grad():
        model.raw_curvature.uniform_(-2, 2)
        model.head_bias.normal_(0, 0.5)
        model.tail_bias.normal_(0, 0.5)
    with tempfile.TemporaryDirectory() as place:
        questions, out = Path(place) / "questions.csv", Path(place) / f"answers.{options.format}"
        with questions.open("w") as stream:
            stream.write("head,relation,tail\n")
            for number in range(options.queries):
                entity, relation = names[draw.integers(ENTITIES)], relations[draw.integers(RELATIONS)]
                stream.write(f"{entity},{relation},\n" if number % 2 else f",{relation},{entity}\n")
        began, used = time.monotonic(), time.process_time()
        tally = answer_file(model, graph, questions, out, Settings(new=options.new))
        taken, used = time.monotonic() - began, time.process_time() - used
        print(f"{tally.questions:,} questions, {tally.answers:,} answers, {out.stat().st_size / 1e6:,.0f} MB")
    print(f"{taken:,.1f} s, {tally.questions / taken:,.0f} questions/s; {used:,.1f} s of processor time")
    print(
        f"{torch.get_num_threads()} threads; peak memory {peak() - imported:,.0f} MB above imports ({imported:,.0f} MB)"
    )


if __name__ == "__main__":
    main()
