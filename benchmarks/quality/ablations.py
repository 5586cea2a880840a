"""What each part of MulDE contributes to a small Junior: one part changed at a time, over seeds, on small graphs.

    python -m benchmarks.quality.ablations --data umls --data kinships --seeds 3

The setting is that of ``small_graphs.py``, whose teachers are reused: RotH and RefH with 64 dimensions (the default of
`mulde run`) and a Junior RotH with 8. Differences from the unchanged method are paired. Selection is on the validation
split. Writes ``results/ablations/``.
"""

from __future__ import annotations

import argparse
import statistics
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

OURS = ("roth", "refh")
PAPER = ("hyperbolic_transe", "disth", *OURS)
TEACHERS = (*PAPER, "atth")
BASE = {"dim": 8, "epochs": 40}
Variant = tuple[tuple[str, ...], dict[str, Any]]
VARIANTS: dict[str, Variant] = {
    "MulDE (γ .5, all entities, T 1)": (OURS, {}),
    "no soft labels (γ 0)": (OURS, {"soft_weight": 0.0}),
    "no relation scaling": (OURS, {"scaling": False}),
    "no contrast attention": (OURS, {"attention": False}),
    "plain average of the teachers": (OURS, {"scaling": False, "attention": False}),
    "soft labels do not train the Senior": (OURS, {"soft_trains_senior": False}),
    "20 candidates, the Junior's best": (OURS, {"top_k": 20}),
    "20 candidates, 19 of them random": (OURS, {"top_k": 1, "random_candidates": 19}),
    "5 candidates": (OURS, {"top_k": 5}),
    "50 candidates": (OURS, {"top_k": 50}),
    "one teacher: RotH": (("roth",), {}),
    "one teacher: DistH": (("disth",), {}),
    "four teachers: the paper's": (PAPER, {}),
    "five teachers: with AttH": (TEACHERS, {}),
    "γ .05": (OURS, {"soft_weight": 0.05}),
    "γ .15": (OURS, {"soft_weight": 0.15}),
    "γ 1.5": (OURS, {"soft_weight": 1.5}),
    "γ 5": (OURS, {"soft_weight": 5.0}),
    "T .5": (OURS, {"temperature": 0.5}),
    "T 2": (OURS, {"temperature": 2.0}),
    "T 4": (OURS, {"temperature": 4.0}),
}


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph, repeatable (default: umls and kinships)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="parent of the run folders (default: runs)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "ablations", help="(default: results/ablations)")
    options = parser.parse_args()
    process.start()
    for data in options.data or ["umls", "kinships"]:
        for seed in range(options.seeds):
            for variant in VARIANTS:
                done = {(it["data"]["name"], it["variant"], it["seed"]) for it in records.read(options.out)}
                if (data, variant, seed) not in done:
                    records.append(options.out, measured(data, variant, seed, options.runs))
                    write_table(options.out)


def measured(data: str, variant: str, seed: int, runs: Path) -> records.Record:
    """Train a Junior, and the teachers that are missing; returns its record."""
    graph = kge_data.load(data)
    known = known_answers(graph)
    names, changes = VARIANTS[variant]
    config = from_dict(mulde.Config, {**BASE, "include_target": True, "seed": seed, **changes})
    wide, number = from_dict(supervised.Config, {**BASE, "dim": 64, "seed": seed}), list(VARIANTS).index(variant)
    places = [runs / "small_graphs" / data / f"seed-{seed}" / name for name in names]
    for name, place in zip(names, places, strict=True):
        stage.train(name, graph, wide, place, source=data, known=known)
    place = runs / "ablations" / data / f"seed-{seed}" / str(number)
    junior = stage.distil("roth", places, graph, config, place, source=data, known=known)
    plain, prior = (
        evaluate(junior.model, graph, "test", known, embeddings_only=only).metrics() for only in (True, False)
    )
    return {
        "run": f"{data}-{number}-{seed}", "variant": variant, "seed": seed,
        "command": " ".join(["python", "-m", "benchmarks.quality.ablations", *sys.argv[1:]]),
        "data": {"name": data, "checksum": graph.checksum}, "settings": to_dict(config) | {"teacher_dim": 64},
        "metrics": {"embeddings_only": plain, "with_prior": prior}, "seconds": junior.record.seconds,
        **records.environment(),
    }  # fmt: skip


def write_table(folder: Path) -> None:
    """Means over the recorded seeds and paired differences from the unchanged method."""
    rows = differences(records.read(folder))
    title = "Test MRR (full split, filtered, both directions, realistic), embeddings only; "
    title += "Junior RotH 8-d, teachers 64-d, 40 epochs each"
    records.write_table(folder, title, rows)


def differences(found: list[records.Record]) -> list[records.Record]:
    """A row for each graph and variant."""
    first, rows = next(iter(VARIANTS)), []
    for data in dict.fromkeys(it["data"]["name"] for it in found):
        own = {(it["variant"], it["seed"]): it["metrics"] for it in found if it["data"]["name"] == data}
        for variant in VARIANTS:
            seeds = [seed for each, seed in own if each == variant and (first, seed) in own]
            if not seeds:
                continue
            row: records.Record = {"data": data, "changed": variant}
            for kind, suffix in (("embeddings_only", ""), ("with_prior", " with prior")):
                mrr = [own[variant, seed][kind]["mrr"] for seed in seeds]
                paired = [own[variant, seed][kind]["mrr"] - own[first, seed][kind]["mrr"] for seed in seeds]
                row[f"MRR{suffix}"] = statistics.fmean(mrr)
                row[f"difference{suffix}"] = None if variant == first else statistics.fmean(paired)
                row[f"sd{suffix}"] = None if variant == first else records.deviation(paired)
            rows.append({**row, "seeds": len(seeds)})
    return rows


if __name__ == "__main__":
    main()
