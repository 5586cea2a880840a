"""Gain of a small Junior by MulDE, over seeds, on the graphs that come with the package.

    python -m benchmarks.quality.small_graphs --data umls --data kinships --seeds 5

For each seed the paper's four teachers are trained, then the Junior with the same initial weights, order, corruptions
and epochs: without teachers (baseline), distilled from RotH, from RotH and RefH (the default of `mulde run`), and from
all four. Rows `difference` are paired differences from the baseline. Selection is on the validation split. Writes
``results/small_graphs/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import kge_data
from benchmarks.harness import records
from mulde.config import from_dict, to_dict
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.methods import mulde
from mulde.kge.training import stage, supervised

TEACHERS = ("hyperbolic_transe", "disth", "roth", "refh")
ENSEMBLES = {"RotH": ("roth",), "RotH, RefH": ("roth", "refh"), "all four": TEACHERS}


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph, repeatable (default: umls and kinships)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of every model (default: 40)")
    parser.add_argument("--dim", type=int, default=8, help="dimension of the Junior (default: 8)")
    parser.add_argument("--teacher-dim", type=int, default=64, help="dimension of the teachers (default: 64)")
    parser.add_argument("--runs", type=Path, default=Path("runs/small_graphs"), help="(default: runs/small_graphs)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "small_graphs", help="(default: results/small_graphs)"
    )
    options = parser.parse_args()
    process.start()
    for data in options.data or ["umls", "kinships"]:
        for seed in range(options.seeds):
            if not any((it["data"]["name"], it["seed"]) == (data, seed) for it in records.read(options.out)):
                config = {"dim": options.dim, "epochs": options.epochs, "seed": seed}
                made = measured(data, config, options.teacher_dim, options.runs / data / f"seed-{seed}")
                records.append(options.out, *made)
                write_table(options.out)


def measured(data: str, options: dict[str, Any], teacher_dim: int, place: Path) -> list[records.Record]:
    """Train all models of a seed and return their records."""
    graph = kge_data.load(data)
    known = known_answers(graph)
    config = from_dict(mulde.Config, {**options, "include_target": True})
    small, wide = (from_dict(supervised.Config, {**options, **own}) for own in ({}, {"dim": teacher_dim}))
    models = {name: stage.train(name, graph, wide, place / name, source=data, known=known) for name in TEACHERS}
    models["baseline"] = stage.train("roth", graph, small, place / "baseline", source=data, known=known)
    for ensemble, names in ENSEMBLES.items():
        folders, own = [place / name for name in names], place / f"junior-{len(names)}"
        models[f"distilled from {ensemble}"] = stage.distil(
            "roth", folders, graph, config, own, source=data, known=known
        )
    about = {
        "seed": config.training.seed,
        "command": " ".join(["python", "-m", "benchmarks.quality.small_graphs", *sys.argv[1:]]),
        "data": {"name": data, "checksum": graph.checksum},
        "settings": to_dict(config) | {"teacher_dim": teacher_dim}, **records.environment(),
    }  # fmt: skip
    found = []
    for name, trained in models.items():
        plain, prior = (
            evaluate(trained.model, graph, "test", known, embeddings_only=only).metrics() for only in (True, False)
        )
        metrics = {"embeddings_only": plain, "with_prior": prior}
        row = {"run": f"{data}-{name}-{config.training.seed}", "model": name, **about, "metrics": metrics}
        found.append({**row, "seconds": trained.record.seconds})
    return found


def write_table(folder: Path) -> None:
    """Means over the recorded seeds, and paired differences from the baseline."""
    found, rows = records.read(folder), []
    for data in dict.fromkeys(it["data"]["name"] for it in found):
        by_model: dict[str, dict[int, records.Record]] = {}
        for it in found:
            if it["data"]["name"] == data:
                by_model.setdefault(it["model"], {})[it["seed"]] = it["metrics"]
        values = {
            kind: {
                name: {seed: metrics[kind]["mrr"] for seed, metrics in own.items()} for name, own in by_model.items()
            }
            for kind in ("embeddings_only", "with_prior")
        }
        for ensemble in ENSEMBLES:
            for own in values.values():
                own[f"difference, {ensemble}"] = {
                    seed: mrr - own["baseline"][seed] for seed, mrr in own[f"distilled from {ensemble}"].items()
                }
        gains = [f"{what} {ensemble}" for ensemble in ENSEMBLES for what in ("distilled from", "difference,")]
        for name in (*TEACHERS, "baseline", *gains):
            mrr = list(values["embeddings_only"][name].values())
            prior = list(values["with_prior"][name].values())
            spread = {"MRR": records.mean(mrr), "sd": records.deviation(mrr), "min": min(mrr), "max": max(mrr)}
            with_prior = {"MRR with prior": records.mean(prior), "sd with prior": records.deviation(prior)}
            rows.append({"data": data, "model": name, **spread, **with_prior, "seeds": len(mrr)})
    title = "Test MRR (full split, filtered, both directions, realistic), embeddings only, mean of seeds; "
    about = found[0]["settings"]
    title += f"Junior RotH {about['dim']}-d, teachers {about['teacher_dim']}-d, {about['epochs']} epochs each"
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
