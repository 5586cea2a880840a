"""A 32-dimensional Junior by preset, over seeds: the same teachers and the same time for each.

    KGE_DATA_HOME=... python -m benchmarks.quality.presets --data wn18rr        (after pipeline.py, which trains them)

The teachers, RotH and RefH, are those of ``pipeline.py`` (wn18rr-two, fb15k-237-two). Every Junior is RotH and has the
time budget of its graph, which includes querying the teachers; only the preset `best` queries them before that time.
``results/presets/wn18rr`` is an older record: the paper's four teachers, four minutes and a learning rate of .002
(--teachers runs/pipeline/wn18rr/teachers --budget 4m --lr 0.002). Writes ``results/presets/<data>-<budget>/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

BUDGETS = {"wn18rr": "6m", "fb15k-237": "8m"}
DISTIL = "distil --junior roth --preset"
QUERY = "--teacher-query-fraction"
VARIANTS = {
    "baseline": "train roth --preset recommended",
    "recommended": f"{DISTIL} recommended",
    "recommended, query fraction 0.1": f"{DISTIL} recommended {QUERY} 0.1",
    "recommended, query fraction 0.25": f"{DISTIL} recommended {QUERY} 0.25",
    "recommended, query fraction 0.5": f"{DISTIL} recommended {QUERY} 0.5",
    "recommended, query fraction 1": f"{DISTIL} recommended --top-k 500 {QUERY} 1",
    "baseline, lr 0.005": "train roth --preset recommended --lr 0.005",
    "recommended, lr 0.005": f"{DISTIL} recommended --lr 0.005",
    "recommended, query fraction 0.25, lr 0.005": f"{DISTIL} recommended {QUERY} 0.25 --lr 0.005",
    "recommended, query fraction 0.25, lr 0.01": f"{DISTIL} recommended {QUERY} 0.25 --lr 0.01",
    "best": f"{DISTIL} best",
    "paper": f"{DISTIL} paper",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="wn18rr", choices=BUDGETS, help="graph (default: wn18rr)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument(
        "--variant", action="append", choices=VARIANTS, help="repeatable (default: baseline, recommended)"
    )
    parser.add_argument("--teachers", type=Path, help="their folder (default: runs/pipeline/<data>-two/teachers)")
    parser.add_argument("--lr", help="learning rate of every Junior (default: the preset's)")
    parser.add_argument("--budget", help="time of every Junior (default: 6m for wn18rr, 8m for fb15k-237)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/presets"), help="run folders (default: runs/presets)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "presets", help="(default: results/presets)")
    options = parser.parse_args()
    folder = options.teachers or Path("runs/pipeline") / f"{options.data}-two" / "teachers"
    teachers = [word for place in sorted(folder.iterdir()) for word in ("--teacher", str(place))]
    budget = options.budget or BUDGETS[options.data]
    place = f"{options.data}-{budget}"
    shared = ["--data", options.data, "--dim", "32", "--compile", "on", "--budget", budget]
    shared += ["--lr", options.lr] if options.lr else []
    for seed in range(options.seeds):
        for variant in options.variant or ("baseline", "recommended"):
            name = f"{_slug(variant)}-{seed}"
            words = [*shlex.split(VARIANTS[variant]), *shared, "--seed", str(seed), "--threads", options.threads]
            if words[0] == "distil":
                words += teachers
            if variant == "best":
                words += ["--teacher-cache", str(options.runs / place / "answers")]
            train(words, options.runs / place / name, options.out / place, name, variant=variant)
            write_table(options.out / place, options.data, budget)


def write_table(folder: Path, data: str, budget: str) -> None:
    """Means over the recorded seeds of each variant."""
    found = records.read(folder)
    rows = []
    for variant in VARIANTS:
        if own := [it for it in found if it["variant"] == variant]:
            epochs = round(records.mean([it["best_epoch"] for it in own]) or 0)
            rows.append({"preset": variant, **records.means(own), "best epoch": epochs})
            rows[-1] |= {"seconds": records.seconds(own), "seeds": len(own)}
    about = "test MRR of a 32-d RotH by preset (full split, filtered, both directions, realistic); embeddings only"
    records.write_table(folder, f"{data}, {budget} each: {about}; mean of seeds", rows)


def _slug(variant: str) -> str:
    return variant.replace(", ", "-").replace(" ", "-")


if __name__ == "__main__":
    main()
