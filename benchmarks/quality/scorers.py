"""Every scorer without distillation: one seed, the same short training for all.

    KGE_DATA_HOME=... python -m benchmarks.quality.scorers                     (32 dimensions; three quarters of an
    hour) KGE_DATA_HOME=... python -m benchmarks.quality.scorers --data wn18rr --dim 64 --scorer roth

Binary loss with 50 corruptions, under settings chosen with RotH and tuned for no scorer: WN18RR by the preset
`recommended` with a learning rate of .002 for 14 epochs, FB15k-237 with KGEmb's optimizer for 6. The table compares
quality early in training, not at its end. Writes ``results/scorers/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train
from mulde import catalogue

TRAININGS = {
    "wn18rr": "--epochs 14 --compile on --lr 0.002 --batch-size 500",
    "fb15k-237": "--epochs 6 --compile on --optimizer adagrad --lr 0.05",
}
LORENTZ = ("roth-lorentz", "affineh-lorentz")  # with --distance lorentz
SCORERS = [*(name for name, _ in catalogue.names("scorers") if name != "complex"), *LORENTZ]  # all that are distances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph (repeats; default: wn18rr and fb15k-237)")
    parser.add_argument("--scorer", action="append", help="scorer (repeats; default: all but complex)")
    parser.add_argument("--dim", action="append", type=int, help="dimension (repeats; default: 32)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/scorers"), help="run folders (default: runs/scorers)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "scorers", help="(default: results/scorers)")
    options = parser.parse_args()
    for data in options.data or TRAININGS:
        for dim in options.dim or [32]:
            for scorer in options.scorer or SCORERS:
                name = f"{data}-{dim}-{scorer}"
                kind, _, distance = scorer.partition("-")
                words = [
                    "train",
                    kind,
                    *["--distance", distance] * bool(distance),
                    *shlex.split(TRAININGS[data]),
                    "--data",
                    data,
                    "--dim",
                    str(dim),
                ]
                train([*words, "--threads", options.threads], options.runs / name, options.out, name, variant=scorer)
                write_table(options.out)


def write_table(folder: Path) -> None:
    """All recorded runs, the best of a graph and dimension first."""
    rows = [
        {
            "data": it["data"]["name"], "scorer": it["variant"], "dim": it["dim"], "MB": it["MB"],
            **records.figures(it), "best epoch": it["best_epoch"], "seconds": round(it["seconds"]),
            "threads": it["threads"],
        }
        for it in records.read(folder)
    ]  # fmt: skip
    rows.sort(key=lambda row: (row["data"], row["dim"], -row["MRR"]))
    title = (
        "Test MRR after a short training (full split, filtered, both directions, realistic); embeddings only; one seed"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
