"""Speed and memory of `mulde predict --queries`.

    python -m benchmarks.speed.predict --queries 1000000
    python -m benchmarks.speed.predict --queries 20000 --format parquet --out /tmp

A random model of the shape of WN18RR (40,943 entities, 11 relations, 32 dimensions, separate biases, curvature per
relation) and random questions, half (h, r, ?) and half (?, r, t), through the function that the command calls. Writes
``results/speed/predict/``.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import records
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.kge.inference.answer import Settings
from mulde.kge.inference.batch import answer_file
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH

ENTITIES, RELATIONS, TRIPLES, DIM = 40_943, 11, 93_003, 32


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument(
        "--format", default="csv", choices=("csv", "tsv", "parquet"), help="of the answers (default: csv)"
    )
    parser.add_argument("--threads", type=int, default=None, help="(default: all)")
    parser.add_argument("--exclude-known", action="store_true", help="leave out answers that the graph contains")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "speed/predict", help="folder of the result")
    options = parser.parse_args()
    process.start()
    with process.threads(options.threads):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Answer generated queries and record the time."""
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
        tally = answer_file(model, graph, questions, out, Settings(exclude_known=options.exclude_known))
        taken, used = time.monotonic() - began, time.process_time() - used
        size = out.stat().st_size / 1e6
    row = {
        "answers as": options.format, "known": "left out" if options.exclude_known else "kept",
        "queries": tally.queries, "answers": tally.answers,
        "MB": size, "seconds": taken, "queries/s": round(tally.queries / taken), "processor seconds": used,
        "peak MB above imports": peak() - imported,
    }  # fmt: skip
    title = (
        f"`mulde predict --queries`, RotH {DIM}-d, {ENTITIES:,} entities, {Settings().top} answers to each question; "
        f"{torch.get_num_threads()} thread(s)"
    )
    command = " ".join(["python", "-m", "benchmarks.speed.predict", *sys.argv[1:]])
    records.write(options.out, [{**row, "imports MB": imported, "command": command, **records.environment()}])
    records.write_table(options.out, title, [row])


if __name__ == "__main__":
    main()
