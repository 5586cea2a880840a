"""Every scorer by itself: one seed, the same short training for all.

    KGE_DATA_HOME=... python benchmarks/scorers.py                          (32 dimensions; three quarters of an hour)
    KGE_DATA_HOME=... python benchmarks/scorers.py --data wn18rr --dim 64 --scorer roth

Binary loss with 50 corruptions, under settings that were chosen with RotH and are searched for none: on WN18RR those of
the preset `recommended` by .002 for 14 epochs, on FB15k-237 with KGEmb's optimiser for 6. So the table compares what
scorers reach soon, not what they reach. Every model is trained by one `mulde` command; what has a record is not trained
again, an interrupted training is continued. Test figures are on the full split, filtered, both directions, realistic;
selection is on the validation split. ``vectors``: by vectors alone; ``MRR``: what the model answers, with loops and the
closed world (docs/measured.md). Writes the records, ``results/scorers/table.json`` and ``table.md``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import recorded

from mulde import catalogue

TRAININGS = {
    "wn18rr": "--epochs 14 --compile on --lr 0.002 --batch-size 500",
    "fb15k-237": "--epochs 6 --compile on --optimizer adagrad --lr 0.05",
}
SCORERS = [name for name, _ in catalogue.names("scorers") if name != "complex"]  # which is no distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph (repeats; default: wn18rr and fb15k-237)")
    parser.add_argument("--scorer", action="append", help="scorer (repeats; default: all but complex)")
    parser.add_argument("--dim", action="append", type=int, help="dimension (repeats; default: 32)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/scorers"), help="run folders (default: runs/scorers)")
    parser.add_argument("--out", type=Path, default=Path("results/scorers"), help="records (default: results/scorers)")
    options = parser.parse_args()
    for data in options.data or TRAININGS:
        for dim in options.dim or [32]:
            for scorer in options.scorer or SCORERS:
                name = f"{data}-{dim}/{scorer}"
                words = ["train", scorer, *shlex.split(TRAININGS[data]), "--data", data, "--dim", str(dim)]
                recorded.run([*words, "--threads", options.threads], options.runs / name, options.out / name)
                write(options.out)


def write(out: Path) -> None:
    """Everything on record, as a table: the best of a graph and dimension first."""
    rows = []
    for place in (summary.parent for summary in out.glob("*/*/summary.json")):
        data, _, dim = place.parent.name.rpartition("-")
        rows.append({"data": data, "scorer": place.name, "dim": int(dim), **recorded.quality(place)})
    rows.sort(key=lambda row: (row["data"], row["dim"], -row["vectors"]))
    title = "Test MRR after a short training (full split, filtered, both directions, realistic); one seed"
    recorded.write(out, title, rows)


if __name__ == "__main__":
    main()
