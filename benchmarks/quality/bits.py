"""Quality against bytes: trained models stored with 32, 16 and 8 bits per number.

    KGE_DATA_HOME=... python -m benchmarks.quality.bits    (after distilled.py, dimensions.py and pipeline.py, see
    MODELS)

With 8 bits entities are int8 and everything else float16, as `mulde export --to int8` stores them. MB is the file of
the weights. Teachers are trained without self-loop mask and graph prior. Writes ``results/bits/``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import kge_data
from benchmarks.harness import records
from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.quantisation import Stored
from mulde.kge.storage.run_folder import WEIGHTS, model_files, open_model

DISTILLED = "distilled/fb15k-237-affineh"
MODELS = {
    "teacher, ComplEx": f"{DISTILLED}/teacher",
    "small ComplEx": f"{DISTILLED}/small-complex-0",
    "AffineH, distilled": f"{DISTILLED}/distilled-offline-longer-0",
    "AffineH, distilled, 64-d": "dimensions/fb15k-237-64",
    "RotH, distilled by MulDE": "pipeline/fb15k-237-two/junior",
}
BITS: dict[int, Stored] = {32: "float32", 16: "float16", 8: "int8"}


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fb15k-237", help="graph of all models (default: fb15k-237)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="parent of the run folders (default: runs)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "bits", help="(default: results/bits)")
    options = parser.parse_args()
    process.start()
    graph = kge_data.load(options.data)
    known, found = known_answers(graph), []
    for name, folder in MODELS.items():
        model = open_model(options.runs / folder, graph)
        for bits, stored in BITS.items():
            about = {"run": f"{name}, {bits} bits", "model": name, "dim": model.config.dim, "bits": bits}
            place = {"source": folder, "data": {"name": graph.name, "checksum": graph.checksum}}
            found.append({**about, **place, **measured(model, graph, known, stored), **records.environment()})
            print(found[-1], flush=True)
    records.write(options.out, found)
    write_table(options.out)


def measured(model: KGEModel, graph: TripleSet, known: KnownAnswers, stored: Stored) -> records.Record:
    """Size of a model stored in this way, and its test metrics when it is opened again."""
    with tempfile.TemporaryDirectory() as place:
        for file, content in model_files(model, graph, graph.name, stored).items():
            (Path(place) / file).write_bytes(content)
        megabytes = (Path(place) / WEIGHTS).stat().st_size / 1e6
        opened = open_model(place, graph)
    metrics = {"embeddings_only": evaluate(opened, graph, "test", known, embeddings_only=True).metrics()}
    if model.config.graph_prior or model.config.mask_self_loops:
        metrics["with_prior"] = evaluate(opened, graph, "test", known).metrics()
    return {"MB": megabytes, "metrics": metrics}


def write_table(folder: Path) -> None:
    """A row for each model and number of bits."""
    found = records.read(folder)
    rows = []
    for it in found:
        plain, prior = it["metrics"]["embeddings_only"], it["metrics"].get("with_prior", {})
        row = {"model": it["model"], "dim": it["dim"], "bits": it["bits"], "MB": it["MB"]}
        mrr = {"MRR": plain["mrr"], "MRR with prior": prior.get("mrr")}
        rows.append({**row, **mrr, "Hits@10": plain.get("hits@10"), "Hits@10 with prior": prior.get("hits@10")})
    title = (
        "test MRR by the bits of a number (full split, filtered, both directions, realistic); embeddings only; one seed"
    )
    records.write_table(folder, f"{found[0]['data']['name']}, {title}", rows)


if __name__ == "__main__":
    main()
