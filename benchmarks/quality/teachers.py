"""Teachers: the paper's four and AttH with 64 dimensions, each given the same time, and what ensembles know together.

    KGE_DATA_HOME=... python benchmarks/teachers.py              (both graphs; three quarters of an hour)

Every teacher is trained by one `mulde` command with the default settings (preset `recommended`); what has a record is
not trained again, an interrupted training is continued. An ensemble answers by the plain sum of its teachers' scores,
MulDE's "original" ensemble, which is what a Junior could hope for. Test figures are on the full split, filtered, both
directions, realistic; selection is on the validation split. ``vectors``: by vectors alone, as ensembles answer; ``MRR``:
what the model answers, with loops and the closed world (docs/measured.md). Writes the records,
``results/teachers/table.json`` and ``table.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recorded

import kge_data
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.opening import open_teacher

TEACHERS = ("hyperbolic_transe", "disth", "roth", "refh", "atth")
PANELS = (("roth", "refh"), ("roth", "refh", "atth"), TEACHERS[:4], TEACHERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph (repeats; default: wn18rr and fb15k-237)")
    parser.add_argument("--teacher", action="append", choices=TEACHERS, help="(repeats; default: all five)")
    parser.add_argument("--dim", type=int, default=64, help="dimension (default: 64)")
    parser.add_argument("--budget", default="4m", help="time of every teacher (default: 4m)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/teachers"), help="run folders (default: runs/teachers)")
    parser.add_argument(
        "--out", type=Path, default=Path("results/teachers"), help="records (default: results/teachers)"
    )
    options = parser.parse_args()
    process.start(options.threads)
    rows = []
    for data in options.data or ("wn18rr", "fb15k-237"):
        place = f"{data}-{options.dim}"
        for scorer in options.teacher or TEACHERS:
            words = f"train {scorer} --data {data} --dim {options.dim} --budget {options.budget} --compile on"
            name = f"{place}/{scorer}"
            recorded.run([*words.split(), "--threads", str(options.threads)], options.runs / name, options.out / name)
            rows.append({"data": data, "who": scorer, **recorded.quality(options.out / name)})
        rows += ensembles(data, options.runs / place, options.teacher or TEACHERS)
        title = f"Teachers, {options.dim}-d, {options.budget} each: test MRR (full split, filtered, both directions, "
        recorded.write(options.out, f"{title}realistic); one seed", rows)


def ensembles(data: str, runs: Path, there: Sequence[str]) -> list[dict[str, Any]]:
    """What the ensembles know together: a row for each whose teachers are there."""
    graph = kge_data.load(data)
    known, rows = known_answers(graph), []
    for ensemble in (ensemble for ensemble in PANELS if set(ensemble) <= set(there)):
        teachers = [open_teacher(runs / scorer, graph) for scorer in ensemble]
        found = evaluate(Ensemble(teachers), graph, "test", known).metrics()
        own = {"vectors": found["mrr"], "MRR": None, "hits@1": found["hits@1"], "hits@10": found["hits@10"]}
        rows.append({"data": data, "who": " + ".join(ensemble), "MB": None, **own})
    return rows


if __name__ == "__main__":
    main()
