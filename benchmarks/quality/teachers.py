"""Teachers: the paper's four and AttH with 64 dimensions, the same time for each, and ensembles of them.

    KGE_DATA_HOME=... python -m benchmarks.quality.teachers              (both graphs; three quarters of an hour)

Every teacher is trained with the default settings (preset `recommended`). An ensemble adds its teachers' scores, which
bounds the quality that a Junior can be expected to reach. Writes ``results/teachers/``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kge_data
from benchmarks.harness import records
from benchmarks.harness.trained import train
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.opening import open_teacher

TEACHERS = ("hyperbolic_transe", "disth", "roth", "refh", "atth")
ENSEMBLES = (("roth", "refh"), ("roth", "refh", "atth"), TEACHERS[:4], TEACHERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph (repeats; default: wn18rr and fb15k-237)")
    parser.add_argument("--teacher", action="append", choices=TEACHERS, help="(repeats; default: all five)")
    parser.add_argument("--dim", type=int, default=64, help="dimension (default: 64)")
    parser.add_argument("--budget", default="4m", help="time of every teacher (default: 4m)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/teachers"), help="run folders (default: runs/teachers)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "teachers", help="(default: results/teachers)")
    options = parser.parse_args()
    process.start()
    with process.threads(options.threads):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Train and record the teachers and their ensembles."""
    for data in options.data or ("wn18rr", "fb15k-237"):
        runs = options.runs / f"{data}-{options.dim}"
        teachers = options.teacher or TEACHERS
        for scorer in teachers:
            words = f"train {scorer} --data {data} --dim {options.dim} --budget {options.budget} --compile on"
            name = f"{data}-{options.dim}-{scorer}"
            train([*words.split(), "--threads", str(options.threads)], runs / scorer, options.out, name, who=scorer)
        for ensemble in ENSEMBLES:
            if set(ensemble) <= set(teachers):
                record_ensemble(data, options.dim, ensemble, runs, options.out)
        write_table(options.out)


def record_ensemble(data: str, dim: int, ensemble: tuple[str, ...], runs: Path, out: Path) -> None:
    """Evaluate the sum of the teachers' scores, unless it is recorded."""
    name = f"{data}-{dim}-{'-'.join(ensemble)}"
    if any(it["run"] == name for it in records.read(out)):
        return
    graph = kge_data.load(data)
    teachers = Ensemble([open_teacher(runs / scorer, graph) for scorer in ensemble])
    metrics = evaluate(teachers, graph, "test", known_answers(graph)).metrics()
    about = {"run": name, "who": " + ".join(ensemble), "data": {"name": data, "checksum": graph.checksum}}
    records.append(out, {**about, "metrics": {"embeddings_only": metrics}, **records.environment()})


def write_table(folder: Path) -> None:
    """All recorded teachers and ensembles."""
    rows = [
        {
            "data": it["data"]["name"], "who": it["who"], "MB": it.get("MB"), **records.figures(it),
            "best epoch": it.get("best_epoch"), "seconds": round(it["seconds"]) if "seconds" in it else None,
            "threads": it["threads"],
        }
        for it in records.read(folder)
    ]  # fmt: skip
    title = "Teachers of 64 dimensions, 4 minutes each: test MRR (full split, filtered, both directions, realistic)"
    records.write_table(folder, f"{title}; embeddings only; one seed", rows)


if __name__ == "__main__":
    main()
