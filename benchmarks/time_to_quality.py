"""How good a 32-dimensional model is after a few minutes from nothing, beside the figures published for KGEmb.

    KGE_DATA_HOME=... python benchmarks/time_to_quality.py            (alone on the machine; a quarter of an hour)

Each model is trained by one `mulde train` command with `--budget`, which stops it in time; reading the graph, compiling
and all evaluations are in the seconds. Test figures are on the full split, filtered, both directions, realistic;
selection is on the validation split. ``vectors``: by vectors alone, as KGEmb's figures are; ``MRR``: what the model
answers, with loops and the closed world (docs/measured.md). KGEmb's figures are those of its README for RotH, 32
dimensions, float64 and 300 epochs. Writes ``results/time_to_quality.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import recorded

from mulde.files import write_atomically
from mulde.report import circumstances, table

PUBLISHED = {"wn18rr": 0.473, "fb15k-237": 0.314}
BINARY = "--preset kgemb --corrupt tail --dtype float32 --loops seen --world closed"
SHORT = "--dim 32 --epochs 48 --every 12 --compile on"
COMMANDS = {
    "RotH on WN18RR": f"train roth --data wn18rr {SHORT} --budget 170s",
    "RotH on FB15k-237": f"train roth --data fb15k-237 {BINARY} {SHORT} --budget 345s",
    "AffineH on FB15k-237": f"train affineh --data fb15k-237 {BINARY} {SHORT} --budget 345s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help=f"one of {', '.join(COMMANDS)} (repeats)")
    parser.add_argument("--seed", default="0", help="(default: 0)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/time_to_quality"), help="run folders")
    parser.add_argument("--out", type=Path, default=Path("results"), help="(default: results)")
    options = parser.parse_args()
    record = options.out / "time_to_quality.json"
    rows = json.loads(record.read_text(encoding="utf-8"))["rows"] if record.exists() else []
    for name, line in COMMANDS.items():
        if (options.only and name not in options.only) or any(row["model"] == name for row in rows):
            continue
        words = ["mulde", *shlex.split(line), "--seed", options.seed, "--threads", options.threads]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *words, "--out", str(options.runs / name.replace(" ", "-")), "--json"],
            stdout=subprocess.PIPE,
        )
        seconds = time.monotonic() - began
        if done.returncode:
            sys.exit(f"{shlex.join(words)}: ended with code {done.returncode}")
        found = json.loads(done.stdout)
        fit, test = found["fit"], found["test"]
        answers, vectors = test["realistic"], recorded.by_vectors(test)
        rows.append(
            {
                "model": name, "seconds": round(seconds), "epochs": fit["epochs"], "best epoch": fit["best_epoch"],
                "vectors": vectors["mrr"], "published": PUBLISHED[test["data"]], "MRR": answers["mrr"],
                "hits@10": answers["hits@10"], "checksum": test["checksum"], "command": shlex.join(words),
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    said = [{key: value for key, value in row.items() if key not in ("checksum", "command")} for row in rows]
    title = f"Test MRR after a few minutes, everything counted; {options.threads} thread(s), seed {options.seed}"
    write_atomically(record, (json.dumps({"rows": rows, **circumstances()}, indent=1) + "\n").encode())
    write_atomically(options.out / "time_to_quality.md", f"{title}\n\n{table(said, markdown=True)}\n".encode())
    print(f"{title}\n{table(said)}")


if __name__ == "__main__":
    main()
