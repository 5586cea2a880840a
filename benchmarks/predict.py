"""How fast `mulde predict --queries` answers, and in how much memory.

A random model in the shape of WN18RR (40,943 entities, 11 relations, 32 dimensions, both biases, curvature per
relation) and a million random questions, half (h, r, ?) and half (?, r, t), through the same function as the command.

    python benchmarks/predict.py --queries 1000000
    python benchmarks/predict.py --queries 20000 --format parquet --out /tmp

Writes ``results/predict.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.inference.answer import Settings
from mulde.kge.inference.batch import answer_file
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.report.tables import table

ENTITIES, RELATIONS, TRIPLES, DIM = 40_943, 11, 93_003, 32


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000_000, help="(default: 1,000,000)")
    parser.add_argument(
        "--format", default="csv", choices=("csv", "tsv", "parquet"), help="of the answers (default: csv)"
    )
    parser.add_argument("--threads", type=int, default=None, help="(default: all)")
    parser.add_argument("--exclude-known", action="store_true", help="leave out answers that the graph contains")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the result (default: results)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
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
        size = out.stat().st_size / 1e6
    row = {
        "answers as": options.format, "known": "left out" if options.new else "kept",
        "questions": tally.questions, "answers": tally.answers,
        "MB": size, "seconds": taken, "questions/s": round(tally.questions / taken), "processor seconds": used,
        "peak MB above imports": peak() - imported,
    }  # fmt: skip
    title = (
        f"`mulde predict --queries`, RotH {DIM}-d, {ENTITIES:,} entities, {Settings().top} answers to each question; "
        f"{torch.get_num_threads()} thread(s)"
    )
    result = {"rows": [row], "imports MB": imported, **environment()}
    write_atomically(options.out / "predict.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomically(options.out / "predict.md", f"{title}\n\n{table([row], markdown=True)}\n".encode())
    print(f"{title}\n{table([row])}")


if __name__ == "__main__":
    main()
