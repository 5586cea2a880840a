"""Gain of the self-loop mask and of the graph prior over the embeddings only; pretrained models.

    python -m benchmarks.quality.graph_prior            (about a minute; needs no data)

The same embeddings answer in three ways: without either (as in most published figures), with the self-loop mask, and
with the graph prior as well (`mulde/kge/model/graph_prior.py`), whose weights were fitted on the validation split. Full
splits, filtered, both directions, realistic. Writes ``results/graph_prior/``, with the weights by relation.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

from benchmarks.harness import records
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.storage.run_folder import describe, graph_of, open_model

MODELS = ("umls-8", "wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32")
ANSWERS = {"embeddings_only": "embeddings only", "with_mask": "with self-loop mask", "with_prior": "with graph prior"}


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="run folder, bundle or name (default: pretrained models)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "graph_prior", help="(default: results/graph_prior)"
    )
    options = parser.parse_args()
    process.start()
    records.write(options.out, [measured(name) for name in options.model or MODELS])
    write_table(options.out)


def measured(name: str) -> records.Record:
    """Test metrics of a model that answers in the three ways, and its weights."""
    graph = graph_of(name)
    model, known, weights = open_model(name, graph), known_answers(graph), {}
    masked = copy.deepcopy(model)
    masked.set_graph_prior(None)
    found = {
        "embeddings_only": evaluate(model, graph, "test", known, embeddings_only=True),
        "with_mask": evaluate(masked, graph, "test", known),
        "with_prior": evaluate(model, graph, "test", known),
    }
    if model.graph_prior is not None:
        pairs = model.graph_prior.weights.view(-1, 2).tolist()
        weights = dict(zip(graph.relations, pairs, strict=True))
    return {
        "run": name, "model": name, "scorer": describe(name)["scorer"],
        "command": " ".join(["python", "-m", "benchmarks.quality.graph_prior", *sys.argv[1:]]),
        "data": {"name": graph.name, "checksum": graph.checksum},
        "metrics": {kind: {**it.metrics(), "interval_95": list(it.interval())} for kind, it in found.items()},
        "weights_as_tail_and_as_head": weights, **records.environment(),
    }  # fmt: skip


def write_table(folder: Path) -> None:
    """A row for each model and way of answering."""
    rows = []
    for it in records.read(folder):
        for kind, answers in ANSWERS.items():
            metrics = it["metrics"][kind]
            low, high = metrics["interval_95"]
            row = {"model": it["model"], "scorer": it["scorer"], "answers": answers, "MRR": metrics["mrr"]}
            hits = {name: metrics[name.lower()] for name in ("Hits@1", "Hits@10")}
            rows.append({**row, "95 % interval": f"{low:.4f} to {high:.4f}", **hits})
    title = "Test MRR (full split, filtered, both directions, realistic); one seed each"
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
