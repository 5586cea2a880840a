"""What teachers are worth to a small Junior, over seeds: MulDE against the same Junior alone, on bundled graphs.

    python benchmarks/small_graphs.py --data umls --data kinships --seeds 5

For each seed: the paper's four teachers are trained, then the Junior twice, with the same initial weights, order,
corruptions and epochs, once with hard labels alone and once taught. Reported are mean and standard deviation of the
test MRR (full split, filtered, both directions, realistic) and of the paired difference, whatever it is.
Selection is on the validation split. Writes ``results/small_graphs.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path

import kge_data
from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde import process
from mulde.files import write_atomically
from mulde.kge import stages
from mulde.kge.link_prediction import evaluate
from mulde.report import circumstances, table
from mulde.scorers.model import ModelConfig

TEACHERS = ("hyperbolic_transe", "disth", "roth", "refh")


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
    rows, details = [], []
    for data in options.data or ["umls", "kinships"]:
        graph = kge_data.load(data)
        known = stages.known_answers(graph)
        differences = []
        for seed in range(options.seeds):
            config = stages.DistilConfig(dim=options.dim, epochs=options.epochs, seed=seed, force_target=True)
            fit, shape = stages.part(stages.FitConfig, config), stages.part(ModelConfig, config)
            place = options.runs / data / f"seed-{seed}"

            def test(outcome: stages.Outcome, graph: TripleSet = graph, known: KnownAnswers = known) -> float:
                return evaluate(outcome.model, graph, "test", known).metrics()["mrr"]

            row: dict[str, object] = {"data": data, "seed": seed}
            for name in TEACHERS:
                teacher = replace(shape, dim=options.teacher_dim)
                row[name] = test(stages.train(name, graph, fit, teacher, place / name, source=data, known=known))
            alone = test(stages.train("roth", graph, fit, shape, place / "alone", source=data, known=known))
            folders = [place / name for name in TEACHERS]
            taught = test(stages.distil("roth", folders, graph, config, place / "junior", source=data, known=known))
            row |= {"Junior alone": alone, "Junior (MulDE)": taught, "difference": taught - alone}
            differences.append(taught - alone)
            details.append(row)
            print(table([row]), flush=True)
        own = [row for row in details if row["data"] == data]
        for name in (*TEACHERS, "Junior alone", "Junior (MulDE)", "difference"):
            values = [float(str(row[name])) for row in own]
            spread = statistics.stdev(values) if len(values) > 1 else None
            rows.append(
                {
                    "data": data,
                    "model": name,
                    "mean test MRR": statistics.fmean(values),
                    "standard deviation": spread,
                    "least": min(values),
                    "most": max(values),
                    "seeds": len(values),
                }
            )
        details[-1]["positive for every seed"] = all(value > 0 for value in differences)
    result = {
        "command": " ".join(["python", *sys.argv]),
        "settings": asdict(replace(config, seed=0)) | {"teacher_dim": options.teacher_dim, "teachers": TEACHERS},
        "checksums": {data: kge_data.load(data).checksum for data in options.data or ["umls", "kinships"]},
        "rows": rows,
        "seeds": details,
        **circumstances(),
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
