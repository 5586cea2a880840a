"""A 32-dimensional Junior by preset, over seeds: the same teachers and the same time for each.

    KGE_DATA_HOME=... python benchmarks/presets.py --data wn18rr                   (after the teachers)

The teachers, RotH and RefH, are those of `mulde run --data wn18rr --budget 25m --lr 0.005 --batch-size 500 --threads 1
--out runs/pipeline/wn18rr-two`, for FB15k-237 of `mulde run --data fb15k-237 --budget 42m --threads 1 --out
runs/pipeline/fb15k-237-two`. Every Junior is RotH and has the budget of its graph; its falling learning rate, where the
preset has one, has fallen by then. An older record, ``results/presets/wn18rr``, is of the paper's four teachers, four
minutes and .002, the default learning rate of then (--teachers runs/pipeline/wn18rr/teachers --budget 4m --lr 0.002).
Asking the teachers takes from the Junior's time, so a gain here is one that a user has in the same time; only under
preset `best` they are asked once, before that time. Every model is trained by one `mulde` command; what has a record is
not trained again, an interrupted training is continued. Test figures are on the full split, filtered, both directions,
realistic; selection is on the validation split. ``vectors``: by vectors alone; ``MRR``: what the model answers, with
loops and the closed world (docs/measured.md), which preset `paper` does without. Writes the records,
``results/presets/<data>-<budget>/table.json`` and ``table.md``.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
from pathlib import Path

import recorded

BUDGETS = {"wn18rr": "6m", "fb15k-237": "8m"}
ARMS = {
    "alone": "train roth --preset recommended",
    "recommended": "distil --junior roth --preset recommended",
    "recommended, a tenth asked": "distil --junior roth --preset recommended --teacher-query-fraction 0.1",
    "recommended, a quarter asked": "distil --junior roth --preset recommended --teacher-query-fraction 0.25",
    "recommended, half asked": "distil --junior roth --preset recommended --teacher-query-fraction 0.5",
    "recommended, all asked": "distil --junior roth --preset recommended --top-k 500 --teacher-query-fraction 1",
    "alone, by .005": "train roth --preset recommended --lr 0.005",
    "recommended, by .005": "distil --junior roth --preset recommended --lr 0.005",
    "recommended, a quarter asked, by .005": "distil --junior roth --preset recommended --teacher-query-fraction 0.25 --lr 0.005",
    "recommended, a quarter asked, by .01": "distil --junior roth --preset recommended --teacher-query-fraction 0.25 --lr 0.01",
    "best": "distil --junior roth --preset best",
    "paper": "distil --junior roth --preset paper",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="wn18rr", choices=BUDGETS, help="graph (default: wn18rr)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--variant", action="append", choices=ARMS, help="repeatable (default: alone and recommended)")
    parser.add_argument("--teachers", type=Path, help="their folder (default: runs/pipeline/<data>-two/teachers)")
    parser.add_argument("--lr", help="learning rate of every Junior (default: the preset's)")
    parser.add_argument("--budget", help="time of every Junior (default: 6m for wn18rr, 8m for fb15k-237)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/presets"), help="run folders (default: runs/presets)")
    parser.add_argument("--out", type=Path, default=Path("results/presets"), help="records (default: results/presets)")
    options = parser.parse_args()
    folder = options.teachers or Path("runs/pipeline") / f"{options.data}-two" / "teachers"
    asked = [word for place in sorted(folder.iterdir()) for word in ("--teacher", str(place))]
    budget = options.budget or BUDGETS[options.data]
    place = f"{options.data}-{budget}"
    shared = ["--data", options.data, "--dim", "32", "--compile", "on", "--budget", budget]
    shared += ["--lr", options.lr] if options.lr else []
    for seed in range(options.seeds):
        for arm in options.arm or ("alone", "recommended"):
            name = f"{place}/{_slug(arm)}-{seed}"
            words = [*shlex.split(ARMS[arm]), *shared, "--seed", str(seed), "--threads", options.threads]
            if words[0] == "distil":
                words += asked
            if arm == "best":
                words += ["--teacher-cache", str(options.runs / place / "answers")]
            recorded.run(words, options.runs / name, options.out / name)
            write(options.out / place, options.data, budget)


def write(out: Path, data: str, budget: str) -> None:
    """Everything on record, as a table."""
    rows = []
    for arm in ARMS:
        own = [recorded.quality(found.parent) for found in sorted(out.glob(f"{_slug(arm)}-[0-9]*/summary.json"))]
        if own:
            vectors = [row["vectors"] for row in own]
            means = {name: statistics.fmean(row[name] for row in own) for name in ("MRR", "hits@1", "hits@10")}
            spread = statistics.stdev(vectors) if len(own) > 1 else None
            epochs = statistics.fmean(row["best epoch"] for row in own)
            rows.append(
                {
                    "preset": arm, "vectors": statistics.fmean(vectors), "sd": spread, "least": min(vectors), **means,
                    "best epoch": round(epochs), "seconds": round(statistics.fmean(row["seconds"] for row in own)),
                    "seeds": len(own),
                }
            )  # fmt: skip
    about = "test MRR of a 32-d RotH by preset (full split, filtered, both directions, realistic); mean of seeds"
    recorded.write(out, f"{data}, {budget} each: {about}", rows)


def _slug(arm: str) -> str:
    return arm.replace(", ", "-").replace(" ", "-")


if __name__ == "__main__":
    main()
