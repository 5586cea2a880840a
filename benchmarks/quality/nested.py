"""Several sizes in one RotH (option --dims) against a model trained for each size alone; test MRR and cost.

    python -m benchmarks.quality.nested --data umls --data kinships --seeds 3
    KGE_DATA_HOME=... python -m benchmarks.quality.nested --data wn18rr --seeds 1

The same options for both, without distillation; embeddings only, and with the graph prior that each size has. The goal
is a loss of at most .003 at each size, for at most twice the time of the largest model. ``seconds`` is the time of a
training; that of ``nested`` is for all sizes. Writes ``results/nested/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train
from mulde.kge.evaluation.cache import full_report
from mulde.kge.storage.run_folder import graph_of, open_model
from mulde.kge.training.record import metrics_of

SMALL = (8, 16, 32)
DIMS = {"umls": SMALL, "kinships": SMALL, "wn18rr": (8, 16, 32, 64)}
EPOCHS = {"umls": 30, "kinships": 30, "wn18rr": 60}
OPTIONS = "train roth --batch-size 500 --threads 1"
MOST = 0.003  # loss of MRR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=DIMS, help="graph (repeats; default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--lr", help="learning rate of all models (default: that of the options)")
    parser.add_argument("--runs", type=Path, default=Path("runs/nested"), help="run folders (default: runs/nested)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "nested", help="(default: results/nested)")
    options = parser.parse_args()
    for data in options.data or DIMS:
        common = [*shlex.split(OPTIONS), "--data", data, "--epochs", str(EPOCHS[data])]
        common += [] if options.lr is None else ["--lr", options.lr]
        for seed in range(options.seeds):
            words = [*common, "--seed", str(seed)]
            sizes = ",".join(map(str, DIMS[data]))
            name = f"{data}-nested-{seed}"
            train([*words, "--dims", sizes], options.runs / name, options.out, name, model="nested")
            add_sizes(options.out, name, options.runs / name)
            for dim in DIMS[data]:
                name = f"{data}-{dim}-{seed}"
                train([*words, "--dim", str(dim)], options.runs / name, options.out, name, model="alone")
            write_table(options.out)


def add_sizes(out: Path, name: str, run: Path) -> None:
    """Add a record of each smaller size of a run."""
    found = records.read(out)
    whole = next(it for it in found if it["run"] == name)
    for dim in whole["settings"]["dims"][:-1]:
        if not any(it["run"] == f"{name}/{dim}" for it in found):
            graph = graph_of(run, None, print)
            metrics = metrics_of(full_report(open_model(run, graph, dim=dim), graph, "test"), whole["settings"])
            records.append(out, {**whole, "run": f"{name}/{dim}", "dim": dim, "metrics": metrics})


def write_table(folder: Path) -> None:
    """Means over the seeds of each graph and size."""
    found, rows = records.read(folder), []
    for data, dims in DIMS.items():
        own = [it for it in found if it["data"]["name"] == data]
        for dim in dims:
            parts = {
                model: [it for it in own if it["model"] == model and it["dim"] == dim] for model in ("alone", "nested")
            }
            if not all(parts.values()):
                continue
            alone, nested = (records.means(each) for each in parts.values())
            rows.append({
                "data": data, "dim": dim, "alone": alone["MRR"], "nested": nested["MRR"],
                "difference": nested["MRR"] - alone["MRR"],
                "met": "yes" if nested["MRR"] - alone["MRR"] >= -MOST else "no",
                "alone, with prior": alone.get("MRR with prior"), "nested, with prior": nested.get("MRR with prior"),
                "alone seconds": records.seconds(parts["alone"]), "nested seconds": records.seconds(parts["nested"]),
                "seeds": len(parts["nested"]),
            })  # fmt: skip
    title = (
        "RotH, test MRR (full split, filtered, both directions, realistic), embeddings only: one model for all sizes "
        "(nested), and one for each size (alone)"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
