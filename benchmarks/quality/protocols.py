"""Published figures beside ours in the same evaluation protocol, and our pretrained models in all protocols.

    python -m benchmarks.quality.protocols

Published figures are those that could be read in a README, a results file or an issue of the authors' code. The
protocol is that of the same code (`mulde/kge/evaluation/protocols.py`). The pretrained models contain their graphs.
Writes ``results/protocols/``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import records
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.evaluation.protocols import PROTOCOLS
from mulde.kge.storage.graph import graph_of
from mulde.kge.storage.run_folder import describe, open_model

MODELS = ["wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32"]


@dataclass(frozen=True)
class Published:
    """A published figure, with as many digits as its source has."""

    data: str
    protocol: str
    model: str
    dim: int
    """Real numbers per entity, without biases."""
    mrr: str
    source: str
    hits_at_1: str | None = None
    hits_at_10: str | None = None


KGEMB = "README of KGEmb"
KBC = "README of kbc (facebookresearch), rank 16"
EXPRESSIVE = "results file of ExpressivE (AleksVap)"
PUBLISHED = [
    Published("wn18rr", "pessimistic", "RotH", 32, "0.473", KGEMB, hits_at_10="0.551"),
    Published("wn18rr", "pessimistic", "RotE", 32, "0.455", KGEMB, hits_at_10="0.527"),
    Published("wn18rr", "pessimistic", "ComplEx-N3", 32, "0.407", KGEMB, hits_at_10="0.449"),
    Published("wn18rr", "pessimistic", "ComplEx-N3", 32, "0.42", KBC, "0.39", "0.46"),
    Published("wn18rr", "no-self", "MuRP", 40, "0.477", "paper, as cited in issue 5 of MuRP's code"),
    Published("wn18rr", "no-self", "MuRP", 40, "0.470", "a user's run, issue 5 of MuRP's code"),
    Published("wn18rr", "seen", "ExpressivE (Base)", 500, "0.508", EXPRESSIVE, "0.464", "0.597"),
    Published("fb15k-237", "pessimistic", "RotH", 32, "0.314", "issue 6 of KGEmb"),
    Published("fb15k-237", "seen", "ExpressivE (Functional)", 1000, "0.350", EXPRESSIVE, "0.256", "0.535"),
]


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=MODELS, help=f"models (default: {' '.join(MODELS)})")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "protocols", help="(default: results/protocols)")
    options = parser.parse_args()
    process.start()
    command = " ".join(["python", "-m", "benchmarks.quality.protocols", *sys.argv[1:]])
    records.write(options.out, [{**measured(name), "command": command} for name in options.model])
    write_table(options.out)


def measured(name: str) -> records.Record:
    """Test metrics of a model in all protocols, embeddings only."""
    about = describe(name)
    graph = graph_of(name)
    model, known = open_model(name, graph), known_answers(graph)
    found = {each: evaluate(model, graph, "test", known, embeddings_only=True, protocol=each) for each in PROTOCOLS}
    metrics = {each: {"triples": len(it.triples), **it.metrics()} for each, it in found.items()}
    return {
        "run": name, "model": name, "scorer": about["scorer"], "dim": about["model"]["dim"],
        "data": {"name": graph.name, "checksum": graph.checksum}, "metrics": metrics, **records.environment(),
    }  # fmt: skip


def write_table(folder: Path) -> None:
    """Recorded models and published figures, by graph and protocol."""
    rows = []
    for it in records.read(folder):
        for protocol, metrics in it["metrics"].items():
            about = {"data": it["data"]["name"], "protocol": protocol, "model": it["scorer"], "dim": it["dim"]}
            figures = {"MRR": metrics["mrr"], "Hits@1": metrics["hits@1"], "Hits@10": metrics["hits@10"]}
            rows.append({**about, **figures, "source": f"here, {it['model']}"})
    graphs = list(dict.fromkeys(row["data"] for row in rows))
    for each in PUBLISHED:
        if each.data in graphs:
            about = {"data": each.data, "protocol": each.protocol, "model": each.model, "dim": each.dim}
            figures = {"MRR": each.mrr, "Hits@1": each.hits_at_1, "Hits@10": each.hits_at_10}
            rows.append({**about, **figures, "source": each.source})
    order = list(PROTOCOLS)
    rows.sort(key=lambda row: (graphs.index(row["data"]), order.index(row["protocol"])))
    title = (
        "Test figures by evaluation protocol: filtered, both directions, embeddings only; dim: real numbers per entity"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
