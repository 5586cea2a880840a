"""How much of the training graph a small model holds: ranks on train beside those on test.

    python -m benchmarks.quality.memorised

For each pretrained model: filtered MRR on a sample of the training triples and on the test split. Where train is near 1
the dimensions suffice to hold the graph; where it is low they do not. Writes ``results/memorised/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import kge_data
from benchmarks.harness import records
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.storage.run_folder import describe, open_model

MODELS = ["umls-8", "wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32"]


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=MODELS, help=f"models (default: {' '.join(MODELS)})")
    parser.add_argument("--sample", type=int, default=5000, help="training triples that are ranked (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "memorised", help="(default: results/memorised)")
    options = parser.parse_args()
    process.start()
    command = " ".join(["python", "-m", "benchmarks.quality.memorised", *sys.argv[1:]])
    found = [{**measured(name, options.sample, options.seed), "command": command} for name in options.model]
    records.write(options.out, found)
    write_table(options.out)


def measured(name: str, sample: int, seed: int) -> records.Record:
    """Metrics of a model on a sample of train and on test, embeddings only."""
    about = describe(name)
    graph = kge_data.load(about["data"]["source"])
    model, known = open_model(name, graph), known_answers(graph)
    train = evaluate(model, graph, "train", known, sample=sample, seed=seed, embeddings_only=True).metrics()
    test = evaluate(model, graph, "test", known, embeddings_only=True).metrics()
    return {
        "run": name, "model": name, "scorer": about["scorer"], "dim": about["model"]["dim"], "sample": sample,
        "seed": seed, "data": {"name": graph.name, "checksum": graph.checksum},
        "metrics": {"embeddings_only": test, "embeddings_only_train": train}, **records.environment(),
    }  # fmt: skip


def write_table(folder: Path) -> None:
    """A row for each model."""
    found = records.read(folder)
    rows = [
        {
            "model": it["model"], "scorer": it["scorer"], "dim": it["dim"],
            **{f"{split} {name}": it["metrics"][key][metric]
               for split, key in (("train", "embeddings_only_train"), ("test", "embeddings_only"))
               for name, metric in (("MRR", "mrr"), ("Hits@10", "hits@10"))},
        }
        for it in found
    ]  # fmt: skip
    drawn = f"train: {found[0]['sample']:,} random triples; test: all"
    records.write_table(folder, f"Filtered, both directions, realistic, embeddings only; {drawn}", rows)


if __name__ == "__main__":
    main()
