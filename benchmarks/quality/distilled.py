"""Gain of a 32-dimensional Junior by offline distillation, over seeds, against baselines without teachers.

    KGE_DATA_HOME=... python -m benchmarks.quality.distilled --data fb15k-237 --junior affineh --seeds 3

One teacher (ComplEx) predicts the answers of all training queries once; the Juniors of all seeds share the cached
predictions. Selection is on the validation split, seconds are those of the fit. Baselines: the binary loss has KGEmb's
settings for the graph with corrupted tails in float32; `searched` has those that ``search.py`` found for AffineH on
FB15k-237, with as many trials as the distilled Junior had, and a linear schedule; `longer` takes about the time of a
distilled Junior and its third of the teacher's. `recommended` is that preset, untuned (on FB15k-237 with a rate of
.005). Writes ``results/distilled/<data>-<junior>/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

TEACHER = (
    "train complex --preset best --dim 400 --bias none --n3 0.05 --schedule constant --epochs 20"
    " --no-mask-self-loops --no-graph-prior"  # distillation uses scores of the embeddings only
)
BINARY = "--preset kgemb --corrupt tail --dtype float32 --mask-self-loops --graph-prior"
SEARCHED = f"{BINARY} --optimizer adagrad --lr 0.159 --schedule linear --negatives 100 --batch-size 250 --compile on"
OFFLINE = "--junior {junior} --preset best --dim 32 --soft-weight 3 --temperature 1.15"
VARIANTS = {
    "baseline, binary loss": f"train {{junior}} {BINARY} --dim 32 --epochs 60",
    "baseline, binary loss, searched": f"train {{junior}} {SEARCHED} --dim 32 --epochs 26",
    "baseline, binary loss, longer": f"train {{junior}} {SEARCHED} --dim 32 --epochs 57",
    "baseline, recommended": "train {junior} --preset recommended --compile on --dim 32 --epochs 36",
    "small ComplEx": "train complex --preset best --dim 66 --bias none --n3 0.05 --schedule constant --epochs 20",
    "baseline, 1vsall": "train {junior} --preset best --dim 32 --epochs 12",
    "distilled (offline)": f"distil {OFFLINE} --epochs 16",
    "distilled (offline), longer": f"distil {OFFLINE} --epochs 21",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fb15k-237", help="graph (default: fb15k-237)")
    parser.add_argument("--junior", default="affineh", help="the Junior's scorer (default: affineh)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="repeatable (default: all)")
    parser.add_argument("--teacher", default=TEACHER, help=f"the teacher's command (default: {TEACHER})")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/distilled"), help="(default: runs/distilled)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "distilled", help="(default: results/distilled)")
    options = parser.parse_args()
    folder = f"{options.data}-{options.junior}"
    runs, out = options.runs / folder, options.out / folder
    shared = ["--data", options.data, "--threads", options.threads]
    variants = options.variant or list(VARIANTS)
    if any(VARIANTS[variant].startswith("distil") for variant in variants):
        train([*shlex.split(options.teacher), *shared], runs / "teacher", out, "teacher", variant="teacher")
    for seed in range(options.seeds):
        for variant in variants:
            words = [*shlex.split(VARIANTS[variant].format(junior=options.junior)), *shared, "--seed", str(seed)]
            if words[0] == "distil":
                words += ["--teacher", str(runs / "teacher"), "--teacher-cache", str(runs / "answers")]
            name = f"{_slug(variant)}-{seed}"
            train(words, runs / name, out, name, variant=variant)
    write_table(out, f"{options.data}, Junior {options.junior}")


def write_table(folder: Path, about: str) -> None:
    """Means over the recorded seeds of each variant."""
    found, rows = records.read(folder), []
    for variant in ("teacher", *VARIANTS):
        if own := [it for it in found if it["variant"] == variant]:
            rows.append({"model": variant, "dim": own[0]["dim"], "MB": own[0]["MB"], **records.means(own)})
            rows[-1] |= {"seconds": records.seconds(own), "seeds": len(own)}
    title = f"{about}: full test split, filtered, both directions, realistic ranks; embeddings only; 1 thread"
    records.write_table(folder, title, rows)


def _slug(variant: str) -> str:
    return variant.replace(", ", "-").replace(" ", "-").replace("(", "").replace(")", "").lower()


if __name__ == "__main__":
    main()
