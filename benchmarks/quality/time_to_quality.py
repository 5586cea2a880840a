"""Quality of a 32-dimensional model a few minutes after the start, beside the figures published for KGEmb.

    KGE_DATA_HOME=... python -m benchmarks.quality.time_to_quality            (on an idle machine; ten minutes)

Each model is trained by one `mulde train` command with `--budget`; reading the graph, compilation and all evaluations
count. KGEmb's figures are for RotH, 32 dimensions, float64, 300 epochs, embeddings only: WN18RR of its README,
FB15k-237 of its issue 6. Writes ``results/time_to_quality/``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

PUBLISHED = {"wn18rr": 0.473, "fb15k-237": 0.314}
SHORT = "--dim 32 --epochs 48 --eval-every 12 --compile on"
COMMANDS = {  # the rest of the minutes is reading, the graph prior and the test
    "RotH on WN18RR": f"train roth --data wn18rr {SHORT} --budget 148s",
    "RotH on FB15k-237": f"train roth --data fb15k-237 {SHORT} --budget 310s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=COMMANDS, help="one of the models (repeats; default: all)")
    parser.add_argument("--seed", default="0", help="(default: 0)")
    parser.add_argument("--threads", default="2", help="threads of every run (default: 2)")
    parser.add_argument("--runs", type=Path, default=Path("runs/time_to_quality"), help="run folders")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "time_to_quality", help="folder of the result")
    options = parser.parse_args()
    for name in options.only or COMMANDS:
        if any(it["run"] == name for it in records.read(options.out)):
            continue
        run = options.runs / name.replace(" ", "-")
        if run.exists():  # left by an interrupted call; a continued run would look too fast
            sys.exit(f"{run} exists, but {options.out} has no record of it; remove it to measure {name} from the start")
        words = [*shlex.split(COMMANDS[name]), "--seed", options.seed, "--threads", options.threads]
        began = time.monotonic()
        train(words, run, options.out, name)
        *before, last = records.read(options.out)
        records.write(options.out, [*before, {**last, "total_seconds": round(time.monotonic() - began)}])
    write_table(options.out)


def write_table(folder: Path) -> None:
    """Recorded models beside the published figures."""
    rows = []
    for it in records.read(folder):
        plain, prior = it["metrics"]["embeddings_only"], it["metrics"]["with_prior"]
        took = {"seconds": it["total_seconds"], "epochs": it["epochs"], "best epoch": it["best_epoch"]}
        mrr = {"MRR": plain["mrr"], "published": PUBLISHED[it["data"]["name"]], "MRR with prior": prior["mrr"]}
        hits = {"Hits@10 with prior": prior["hits@10"]}
        rows.append({"model": it["run"], **took, **mrr, **hits, "seed": it["seed"], "threads": it["threads"]})
    records.write_table(folder, "Test MRR after a few minutes, embeddings only; all seconds from start to end", rows)


if __name__ == "__main__":
    main()
