"""RotH with 32 dimensions by the configurations of its authors (KGEmb, Chami et al. 2020), against their figures.

    KGE_DATA_HOME=... python -m benchmarks.quality.fidelity --data wn18rr            (hours; the same command continues)

The preset ``kgemb`` is trained by `mulde train`. Published: .473 on WN18RR (README of KGEmb) and .314 on FB15k-237 (its
issue 6); a difference of .005 counts as equal. Options of `mulde train` may follow after ``--``: ``--dtype float32``
takes half the time of the preset's float64. Writes ``results/fidelity/``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

PUBLISHED = {"wn18rr": 0.473, "fb15k-237": 0.314}
NOISE = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=tuple(PUBLISHED), help="graph, repeatable (default: both)")
    parser.add_argument("--runs", type=Path, default=Path("runs/fidelity"), help="run folders (default: runs/fidelity)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "fidelity", help="(default: results/fidelity)")
    parser.add_argument("more", nargs="*", help="options of `mulde train`, after --")
    options = parser.parse_args()
    for data in options.data or PUBLISHED:
        words = ["train", "roth", "--preset", "kgemb", "--data", data, *options.more]
        train(words, options.runs / data, options.out, data)
    write_table(options.out)


def write_table(folder: Path) -> None:
    """Recorded runs beside the published figures."""
    rows = []
    for it in sorted(records.read(folder), key=lambda it: list(PUBLISHED).index(it["data"]["name"])):
        published, mrr = PUBLISHED[it["data"]["name"]], it["metrics"]["embeddings_only"]["mrr"]
        about = {"KGEmb": published, f"within {NOISE}": "yes" if abs(mrr - published) <= NOISE else "no"}
        row = {"data": it["data"]["name"], "dtype": it["settings"]["dtype"], "MRR": mrr, **about}
        rows.append({**row, "best epoch": it["best_epoch"], "seconds": round(it["seconds"])})
    title = (
        "RotH 32-d, configurations of KGEmb; full test splits, filtered, both directions, realistic; embeddings only"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
