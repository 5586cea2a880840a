"""RotH and AffineH with the Lorentzian distance, 32 dimensions: single variations, and long runs over seeds.

    KGE_DATA_HOME=... python -m benchmarks.quality.lorentz --data wn18rr                 (variations, one seed each)
    KGE_DATA_HOME=... python -m benchmarks.quality.lorentz --data wn18rr --variant "RotHL, long" --seeds 3

All variations of a graph have the same number of epochs and are compared on the validation split. ``with leak`` filters
the corruptions by all splits, as the code of HyboNet does: test triples are then never negatives, so its figure cannot
be compared with the others (``benchmarks/quality/leak.py``). Writes ``results/lorentz/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

LEAK = Path(__file__).with_name("leak.py")
LORENTZ = "train roth --distance lorentz"
VARIANTS = {
    "wn18rr": {
        "RotH": "train roth --epochs 60",
        "RotHL": f"{LORENTZ} --epochs 60",
        "RotHL, global curvature": f"{LORENTZ} --epochs 60 --curvature global",
        "RotHL, RAdam": f"{LORENTZ} --epochs 60 --optimizer radam",
        "RotHL, margin 8": f"{LORENTZ} --epochs 60 --margin 8",
        "RotHL, batch 1,000": f"{LORENTZ} --epochs 60 --batch-size 1000",
        "RotHL, both ends corrupted": f"{LORENTZ} --epochs 60 --corrupt both",
        "RotHL, 200 negatives": f"{LORENTZ} --epochs 60 --negatives 200",
        "RotHL, with leak": f"distil --method {LEAK} --junior roth --distance lorentz --epochs 60",
        "RotHL, long": f"{LORENTZ} --epochs 300 --patience 20",
        "RotHL, KGEmb's length": f"{LORENTZ} --epochs 300 --patience 20 --corrupt both --batch-size 500",
        "AffineHL": "train affineh --distance lorentz --epochs 60",
        "AffineHL, long": "train affineh --distance lorentz --epochs 300 --patience 20",
    },
    "fb15k-237": {
        "RotHL": f"{LORENTZ} --epochs 60",
        "RotHL, global curvature": f"{LORENTZ} --epochs 60 --curvature global",
        "AffineHL": "train affineh --distance lorentz --epochs 60",
        "RotHL, long": f"{LORENTZ} --epochs 200",
        "AffineHL, long": "train affineh --distance lorentz --epochs 200",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="wn18rr", choices=VARIANTS, help="graph (default: wn18rr)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--variant", action="append", help="repeatable (default: all that are not long)")
    parser.add_argument("--runs", type=Path, default=Path("runs/lorentz"), help="run folders (default: runs/lorentz)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "lorentz", help="(default: results/lorentz)")
    options = parser.parse_args()
    chosen = options.variant or [name for name in VARIANTS[options.data] if "long" not in name and "KGEmb" not in name]
    for variant in chosen:
        for seed in range(options.seeds):
            name = f"{options.data}-{variant.replace(', ', '-').replace(' ', '-')}-{seed}"
            words = [*shlex.split(VARIANTS[options.data][variant]), "--data", options.data, "--dim", "32"]
            words += ["--seed", str(seed), "--threads", "1"]
            train(words, options.runs / name, options.out, name, variant=variant)
            write_table(options.out)


def write_table(folder: Path) -> None:
    """Means over the recorded seeds of each variant."""
    found = records.read(folder)
    rows = []
    for data, variants in VARIANTS.items():
        for variant in variants:
            if own := [it for it in found if it["data"]["name"] == data and it["variant"] == variant]:
                row = {
                    "data": data,
                    "model": variant,
                    "valid MRR": records.mean([max(it["curve"]["valid_mrr"]) for it in own]),
                }
                row |= {**records.means(own), "best epoch": round(records.mean([it["best_epoch"] for it in own]) or 0)}
                rows.append({**row, "seconds": records.seconds(own), "seeds": len(own)})
    title = (
        "Lorentzian distance, 32 dimensions: test MRR (full split, filtered, both directions, realistic); embeddings "
        "only; mean of seeds. Seconds were measured beside other work"
    )
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
