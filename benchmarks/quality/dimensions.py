"""Quality and size by the Junior's dimension, one seed each.

    KGE_DATA_HOME=... python -m benchmarks.quality.dimensions      (after distilled.py, whose teacher cache it uses)

WN18RR: RotH without distillation by the recommended settings; records differ in learning rate (column ``lr``), and the
best one on validation is kept. FB15k-237: AffineH distilled as in ``distilled.py``. Writes ``results/dimensions/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train
from benchmarks.quality.distilled import VARIANTS

DISTILLED = VARIANTS["distilled (offline)"].format(junior="affineh").replace("--dim 32 ", "")
MODELS = {
    "wn18rr": "train roth --preset recommended --batch-size 500 --epochs 60 --compile on",
    "fb15k-237": f"{DISTILLED} --teacher {{runs}}/teacher --teacher-cache {{runs}}/answers",
}
NAMES = {"wn18rr": "RotH, baseline", "fb15k-237": "AffineH, distilled"}
DIMENSIONS = (8, 16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph (repeats; default: wn18rr and fb15k-237)")
    parser.add_argument("--dim", action="append", type=int, help="dimension (repeats; default: 8, 16, 32 and 64)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="parent of the run folders (default: runs)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "dimensions", help="(default: results/dimensions)"
    )
    options = parser.parse_args()
    for data in options.data or MODELS:
        line = MODELS[data].format(runs=options.runs / "distilled/fb15k-237-affineh")
        for dim in options.dim or DIMENSIONS:
            name = f"{data}-{dim}"
            words = [*shlex.split(line), "--data", data, "--dim", str(dim), "--threads", options.threads]
            train(words, options.runs / "dimensions" / name, options.out, name)
            write_table(options.out)


def write_table(folder: Path) -> None:
    """All recorded runs by graph and dimension."""
    rows = [
        {
            "data": it["data"]["name"], "model": NAMES[it["data"]["name"]], "dim": it["dim"],
            "lr": f"{it['settings']['lr']:.2g}", "MB": it["MB"], **records.figures(it),
            "best epoch": it["best_epoch"], "seconds": round(it["seconds"]), "threads": it["threads"],
        }
        for data in MODELS
        for it in sorted(records.read(folder), key=lambda it: int(it["dim"]))
        if it["data"]["name"] == data
    ]  # fmt: skip
    title = "Test MRR by dimension (full split, filtered, both directions, realistic); embeddings only; one seed"
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
