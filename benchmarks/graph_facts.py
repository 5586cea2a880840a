"""What a model gains from what the training graph says about the candidates, beside their vectors; models of the box.

    python benchmarks/graph_facts.py            (about a minute; needs no data)

Three ways of answering with the same vectors: every relation may answer with the entity asked about (as in most
published figures); only relations that hold a loop in train may (`ModelConfig.loops`); and with the weights of the
closed world as well (`mulde/kge/model/graph_prior.py`), fitted on validation. Full splits, filtered, both directions,
realistic. Writes ``results/graph_facts.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.storage.run_folder import describe, graph_of, open_model
from mulde.report.tables import table

MODELS = ("umls-8", "wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="run folder, bundle or name (default: those of the box)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the result (default: results)")
    options = parser.parse_args()
    process.start(threads=1)
    rows, weights = [], {}
    for name in options.model or MODELS:
        graph, known = graph_of(name), known_answers(graph_of(name))
        model = open_model(name, graph)
        open_world = copy.deepcopy(model)
        open_world.set_graph_prior(None)
        ways = {
            "vectors": evaluate(model, graph, "test", known, embeddings_only=True),
            "and loops": evaluate(open_world, graph, "test", known),
            "and the closed world": evaluate(model, graph, "test", known),
        }
        for way, found in ways.items():
            metrics = found.metrics()
            low, high = found.interval()
            rows.append(
                {
                    "model": name, "scorer": describe(name)["scorer"], "answers by": way, "test MRR": metrics["mrr"],
                    "95 % interval": f"{low:.4f} to {high:.4f}", "hits@1": metrics["hits@1"],
                    "hits@10": metrics["hits@10"],
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
        if model.graph_prior is not None:
            pairs = model.graph_prior.weights.view(-1, 2).tolist()
            weights[name] = dict(zip(graph.relations, pairs, strict=True))
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"rows": rows, "weights of the closed world, as tail and as head": weights, **environment()}
    write_atomically(options.out / "graph_facts.json", (json.dumps(result, indent=1) + "\n").encode())
    title = "Test MRR (full split, filtered, both directions, realistic) by what answers; one seed each"
    write_atomically(options.out / "graph_facts.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())


if __name__ == "__main__":
    main()
