"""What teachers are worth to a small Junior, over seeds: MulDE against the same Junior alone, on bundled graphs.

    python benchmarks/small_graphs.py --data umls --data kinships --seeds 5

For each seed: the paper's four teachers are trained, then the Junior, with the same initial weights, order, corruptions
and epochs: with hard labels alone, taught by RotH, by RotH and RefH as is the default of `mulde run`, and by all four.
Reported are mean and standard deviation of the test MRR (full split, filtered, both directions, realistic) and of the
paired differences from the Junior alone, whatever they are, and the mean by vectors alone, without loops and the closed
world (docs/measured.md). Selection is on the validation split. Writes ``results/small_graphs.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mulde.kge.training.options import DistilConfig, FitConfig, part

import kge_data
from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.model.config import ModelConfig
from mulde.kge.training import stage
from mulde.report.tables import table

TEACHERS = ("hyperbolic_transe", "disth", "roth", "refh")
PANELS = {"RotH": ("roth",), "RotH, RefH": ("roth", "refh"), "all four": TEACHERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph, repeatable (default: umls and kinships)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of every model (default: 40)")
    parser.add_argument("--dim", type=int, default=8, help="dimension of the Junior (default: 8)")
    parser.add_argument("--teacher-dim", type=int, default=64, help="dimension of the teachers (default: 64)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/small_graphs"), help="run folders (default: runs/small_graphs)"
    )
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the result (default: results)")
    options = parser.parse_args()
    process.start(threads=1)
    rows: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    for data in options.data or ["umls", "kinships"]:
        graph = kge_data.load(data)
        known = known_answers(graph)
        for seed in range(options.seeds):
            config = DistilConfig(dim=options.dim, epochs=options.epochs, seed=seed, include_target=True)
            fit, shape = part(FitConfig, config), part(ModelConfig, config)
            place = options.runs / data / f"seed-{seed}"

            teacher = replace(shape, dim=options.teacher_dim)
            models = {
                name: stage.train(name, graph, fit, teacher, place / name, source=data, known=known)
                for name in TEACHERS
            }
            models["Junior alone"] = stage.train("roth", graph, fit, shape, place / "alone", source=data, known=known)
            for ensemble, names in PANELS.items():
                folders, own = [place / name for name in names], place / f"junior-{len(names)}"
                models[f"Junior, {ensemble}"] = stage.distil(
                    "roth", folders, graph, config, own, source=data, known=known
                )
            answers, vectors = (
                {
                    name: evaluate(it.model, graph, "test", known, embeddings_only=alone).metrics()["mrr"]
                    for name, it in models.items()
                }
                for alone in (False, True)
            )
            for found in (answers, vectors):
                for ensemble in PANELS:
                    found[f"difference, {ensemble}"] = found[f"Junior, {ensemble}"] - found["Junior alone"]
            details.append({"data": data, "seed": seed, **answers, "vectors": vectors})
            print(table([{"data": data, "seed": seed, **answers}]), flush=True)
        own = [row for row in details if row["data"] == data]
        taught = [f"{what}, {ensemble}" for ensemble in PANELS for what in ("Junior", "difference")]
        for name in (*TEACHERS, "Junior alone", *taught):
            values = [row[name] for row in own]
            spread = statistics.stdev(values) if len(values) > 1 else None
            rows.append(
                {
                    "data": data,
                    "model": name,
                    "mean test MRR": statistics.fmean(values),
                    "standard deviation": spread,
                    "least": min(values),
                    "most": max(values),
                    "by vectors": statistics.fmean(row["vectors"][name] for row in own),
                    "seeds": len(values),
                }
            )
    result = {
        "command": " ".join(["python", *sys.argv]),
        "settings": asdict(replace(config, seed=0)) | {"teacher_dim": options.teacher_dim, "teachers": TEACHERS},
        "checksums": {data: kge_data.load(data).checksum for data in options.data or ["umls", "kinships"]},
        "rows": rows,
        "seeds": details,
        **environment(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "small_graphs.json", (json.dumps(result, indent=2) + "\n").encode())
    title = (
        "Test MRR (full split, filtered, both directions, realistic); "
        f"Junior RotH {options.dim}-d, teachers {options.teacher_dim}-d, {options.epochs} epochs each"
    )
    write_atomically(options.out / "small_graphs.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


if __name__ == "__main__":
    main()
