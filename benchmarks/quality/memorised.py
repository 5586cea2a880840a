"""What a small model fails to hold, and what it fails to infer: ranks on train beside those on test.

    KGE_DATA_HOME=... python benchmarks/memorised.py

For each bundle of the box: filtered MRR on a sample of the training triples and on the whole test split. Where train is
near 1 the dimensions suffice to hold the graph, and a teacher can only help by knowing how to go beyond it; where train
is low they do not, and a teacher's order of what is not in the data tells a Junior what to spend them on. Writes
``results/memorised.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import kge_data
from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.storage.run_folder import describe, open_model
from mulde.report.tables import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    boxed = ["umls-8", "wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32"]
    parser.add_argument(
        "--model", nargs="+", default=boxed, help=f"bundles or run folders (default: {' '.join(boxed)})"
    )
    parser.add_argument("--sample", type=int, default=5000, help="training triples that are ranked (default: 5000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="(default: results)")
    options = parser.parse_args()
    process.start(1)
    rows, sources = [], {}
    for name in options.model:
        about = describe(name)
        graph = kge_data.load(about["data"]["source"])
        model, known = open_model(name, graph), known_answers(graph)
        train = evaluate(
            model, graph, "train", known, sample=options.sample, seed=options.seed, embeddings_only=True
        ).metrics()
        test = evaluate(model, graph, "test", known, embeddings_only=True).metrics()
        sources[name] = graph.checksum
        rows.append(
            {
                "model": name, "scorer": about["scorer"], "dim": about["model"]["dim"],
                "train MRR": train["mrr"], "train hits@10": train["hits@10"],
                "test MRR": test["mrr"], "test hits@10": test["hits@10"],
            }
        )  # fmt: skip
    result = {"rows": rows, "sample": options.sample, "seed": options.seed, "data": sources, **environment()}
    write_atomically(options.out / "memorised.json", (json.dumps(result, indent=1) + "\n").encode())
    drawn = f"train: {options.sample:,} triples drawn at random; test: all"
    title = f"Filtered, both directions, realistic, by vectors; {drawn}"
    write_atomically(options.out / "memorised.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


if __name__ == "__main__":
    main()
