"""Quality against bytes: trained models with 32, 16 and 8 bits, and how small each becomes.

    KGE_DATA_HOME=... python benchmarks/bits.py      (after taught.py, dimensions.py and `mulde run`, see MODELS)

Entities are stored with 8 bits and everything else with 16 in the rows of 8, as `mulde export --to int8` does. A model
is named by its run folder. MB is the file of the weights; test figures are on the full split, filtered, both
directions, realistic. ``vectors``: by vectors alone; ``MRR``: what the model answers, with loops and the closed world
(docs/measured.md), which teachers are trained without. Writes ``results/bits.json`` and ``bits.md``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import kge_data
from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.quantisation import Stored
from mulde.kge.storage.run_folder import WEIGHTS, model_files, open_model
from mulde.report.tables import table

Row = dict[str, object]
TAUGHT = "taught/fb15k-237-affineh"
MODELS = {
    "teacher, ComplEx": f"{TAUGHT}/teacher",
    "ComplEx, small": f"{TAUGHT}/complex-alone-as-small-0",
    "AffineH, taught": f"{TAUGHT}/junior-taught-offline-longer-0",
    "AffineH, taught, 64-d": "dimensions/fb15k-237-64",
    "RotH, taught by MulDE": "pipeline/fb15k-237-two/junior",
}
BITS: dict[int, Stored] = {32: "float32", 16: "float16", 8: "int8"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fb15k-237", help="graph of all models (default: fb15k-237)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where models are kept (default: runs)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="(default: results)")
    options = parser.parse_args()
    process.start(1)
    graph = kge_data.load(options.data)
    known, rows = known_answers(graph), []
    for name, folder in MODELS.items():
        model = open_model(options.runs / folder, graph)
        for bits, stored in BITS.items():
            said = {"model": name, "dim": model.config.dim, "bits": bits}
            rows.append({**said, **measured(model, graph, known, stored)})
            print(rows[-1], flush=True)
    content = {"rows": rows, "data": graph.checksum, **environment()}
    write_atomically(options.out / "bits.json", (json.dumps(content, indent=1) + "\n").encode())
    title = (
        f"{graph.name}, test MRR by the bits of a number (full split, filtered, both directions, realistic); one seed"
    )
    write_atomically(options.out / "bits.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


def measured(model: KGEModel, graph: TripleSet, known: KnownAnswers, stored: Stored) -> Row:
    """The bytes of a model that is stored so, and what it ranks when it is opened again."""
    with tempfile.TemporaryDirectory() as place:
        for file, content in model_files(model, graph, graph.name, stored).items():
            (Path(place) / file).write_bytes(content)
        megabytes = (Path(place) / WEIGHTS).stat().st_size / 1e6
        opened = open_model(place, graph)
    alone = evaluate(opened, graph, "test", known, embeddings_only=True).metrics()
    answers = evaluate(opened, graph, "test", known).metrics()
    return {
        "MB": megabytes, "vectors": alone["mrr"], "MRR": answers["mrr"],
        "hits@1": answers["hits@1"], "hits@10": answers["hits@10"],
    }  # fmt: skip


if __name__ == "__main__":
    main()
