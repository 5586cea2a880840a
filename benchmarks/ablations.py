"""What each part of MulDE is worth to a small Junior: one part changed at a time, over seeds, on bundled graphs.

    python benchmarks/ablations.py --data umls --data kinships --seeds 3

The setting is that of ``small_graphs.py``, whose teachers are used where they are there: RotH and RefH with 64
dimensions, as is the default of `mulde run`, and a Junior RotH with 8. Reported are the mean test MRR (full split,
filtered, both directions, realistic) and the paired difference from the unchanged method, whatever it is; what is on
record is not trained again. Selection is on the validation split. Writes ``results/ablations.json`` and ``.md``.
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

OURS = ("roth", "refh")
PAPER = ("hyperbolic_transe", "disth", *OURS)
TEACHERS = (*PAPER, "atth")
BASE = DistilConfig(dim=8, epochs=40, include_target=True)
Arm = tuple[tuple[str, ...], dict[str, Any]]
ARMS: dict[str, Arm] = {
    "MulDE (γ .5, all entities, T 1)": (OURS, {}),
    "no soft labels (γ 0)": (OURS, {"soft_weight": 0.0}),
    "no relation scaling": (OURS, {"scaling": False}),
    "no contrast attention": (OURS, {"attention": False}),
    "plain average of the teachers": (OURS, {"scaling": False, "attention": False}),
    "soft labels do not train the Senior": (OURS, {"soft_trains_senior": False}),
    "20 candidates, the Junior's best": (OURS, {"top": 20}),
    "20 candidates, 19 of them random": (OURS, {"top": 1, "random_candidates": 19}),
    "5 candidates": (OURS, {"top": 5}),
    "50 candidates": (OURS, {"top": 50}),
    "one teacher: RotH": (("roth",), {}),
    "one teacher: DistH": (("disth",), {}),
    "four teachers: the paper's": (PAPER, {}),
    "five teachers: AttH, too": (TEACHERS, {}),
    "γ .05": (OURS, {"soft_weight": 0.05}),
    "γ .15": (OURS, {"soft_weight": 0.15}),
    "γ 1.5": (OURS, {"soft_weight": 1.5}),
    "γ 5": (OURS, {"soft_weight": 5.0}),
    "T .5": (OURS, {"temperature": 0.5}),
    "T 2": (OURS, {"temperature": 2.0}),
    "T 4": (OURS, {"temperature": 4.0}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph, repeatable (default: umls and kinships)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where models are kept (default: runs)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the result (default: results)")
    options = parser.parse_args()
    process.start(threads=1)
    record = options.out / "ablations.json"
    found = json.loads(record.read_text(encoding="utf-8"))["runs"] if record.exists() else []
    done = {(row["data"], row["arm"], row["seed"]) for row in found}
    for data in options.data or ["umls", "kinships"]:
        for seed in range(options.seeds):
            for arm in ARMS:
                if (data, arm, seed) not in done:
                    found.append({"data": data, "arm": arm, "seed": seed, **measured(data, arm, seed, options.runs)})
                    print(found[-1], flush=True)
                    write(found, options.out)
    write(found, options.out)


def measured(data: str, arm: str, seed: int, runs: Path) -> dict[str, float]:
    """Train a Junior, and the teachers that are missing; test figures of what it answers and of its vectors."""
    graph = kge_data.load(data)
    known = known_answers(graph)
    names, changes = ARMS[arm]
    config = replace(BASE, seed=seed, **changes)
    fit, shape = (
        part(FitConfig, replace(BASE, seed=seed)),
        replace(part(ModelConfig, BASE), dim=64),
    )
    places = [runs / "small_graphs" / data / f"seed-{seed}" / name for name in names]
    for name, place in zip(names, places, strict=True):
        stage.train(name, graph, fit, shape, place, source=data, known=known)
    place = runs / "ablations" / data / f"seed-{seed}" / str(list(ARMS).index(arm))
    junior = stage.distil("roth", places, graph, config, place, source=data, known=known).model
    answers, vectors = (
        evaluate(junior, graph, "test", known, embeddings_only=alone).metrics() for alone in (False, True)
    )
    return {"MRR": answers["mrr"], "vectors": vectors["mrr"]}


def write(found: list[dict[str, Any]], out: Path) -> None:
    """The record of all runs, and a table of means and paired differences."""
    first, rows = next(iter(ARMS)), []
    for data in dict.fromkeys(row["data"] for row in found):
        own = {(row["arm"], row["seed"]): row for row in found if row["data"] == data}
        for arm in ARMS:
            seeds = [seed for each, seed in own if each == arm and (first, seed) in own]
            if not seeds:
                continue
            scores = [own[arm, seed]["MRR"] for seed in seeds]
            paired = [own[arm, seed]["MRR"] - own[first, seed]["MRR"] for seed in seeds]
            rows.append(
                {
                    "data": data, "changed": arm, "test MRR": statistics.fmean(scores),
                    "by vectors": statistics.fmean(own[arm, seed]["vectors"] for seed in seeds),
                    "difference": None if arm == first else statistics.fmean(paired),
                    "sd": statistics.stdev(paired) if len(paired) > 1 and arm != first else None,
                    "better in": None if arm == first else f"{sum(each > 0 for each in paired)}/{len(paired)}",
                    "seeds": len(seeds),
                }
            )  # fmt: skip
    result = {
        "command": " ".join(["python", *sys.argv]),
        "settings": asdict(BASE) | {"teacher_dim": 64},
        "checksums": {data: kge_data.load(data).checksum for data in {row["data"] for row in found}},
        "rows": rows,
        "runs": found,
        **environment(),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "ablations.json", (json.dumps(result, indent=1) + "\n").encode())
    title = (
        "Test MRR (full split, filtered, both directions, realistic), Junior RotH 8-d, teachers 64-d, 40 epochs each"
    )
    write_atomically(out / "ablations.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
