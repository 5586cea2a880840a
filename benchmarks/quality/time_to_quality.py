"""How good a 32-dimensional model is after a few minutes from nothing, beside the figures published for KGEmb.

    KGE_DATA_HOME=... python benchmarks/time_to_quality.py            (alone on the machine; ten minutes)

Each model is trained by one `mulde train` command with `--budget`, which stops it in time; reading the graph, compiling
and all evaluations are in the seconds. Test figures are on the full split, filtered, both directions, realistic;
selection is on the validation split. ``vectors``: by vectors alone, as KGEmb's figures are; ``MRR``: what the model
answers, with loops and the closed world (docs/measured.md). KGEmb's figures are for RotH, 32 dimensions, float64
and 300 epochs: WN18RR of its README, FB15k-237 of its issue 6. Writes ``results/time_to_quality.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import recorded

from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.report.tables import table

PUBLISHED = {"wn18rr": 0.473, "fb15k-237": 0.314}
SHORT = "--dim 32 --epochs 48 --eval-every 12 --compile on"
COMMANDS = {  # the rest of the minutes is reading, the closed world and the test
    "RotH on WN18RR": f"train roth --data wn18rr {SHORT} --budget 148s",
    "RotH on FB15k-237": f"train roth --data fb15k-237 {SHORT} --budget 310s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help=f"one of {', '.join(COMMANDS)} (repeats)")
    parser.add_argument("--seed", default="0", help="(default: 0)")
    parser.add_argument("--threads", default="2", help="threads of every run (default: 2)")
    parser.add_argument("--runs", type=Path, default=Path("runs/time_to_quality"), help="run folders")
    parser.add_argument("--out", type=Path, default=Path("results"), help="(default: results)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    record = options.out / "time_to_quality.json"
    rows = json.loads(record.read_text(encoding="utf-8"))["rows"] if record.exists() else []
    for name, line in COMMANDS.items():
        if (options.only and name not in options.only) or any(row["model"] == name for row in rows):
            continue
        folder = options.runs / name.replace(" ", "-")
        if folder.exists():  # of an interrupted call; a run that is continued or reused would look too fast
            sys.exit(
                f"{folder} exists, but {record} has no row of it; remove the folder to measure {name} from nothing"
            )
        rows.append(measured(name, [*shlex.split(line), "--seed", options.seed, "--threads", options.threads], folder))
        print(rows[-1], flush=True)
        write_atomically(record, (json.dumps({"rows": rows, **environment()}, indent=1) + "\n").encode())
    said = [
        {key: value for key, value in row.items() if key not in ("checksum", "command")}
        | {option: value_of(f"--{option}", row["command"]) for option in ("seed", "threads")}
        for row in rows
    ]
    title = "Test MRR after a few minutes, everything counted"
    write_atomically(options.out / "time_to_quality.md", f"{title}\n\n{table(said, markdown=True)}\n".encode())
    print(f"{title}\n{table(said)}")


def measured(name: str, words: Sequence[str], folder: Path) -> recorded.Row:
    """What `mulde WORDS --out FOLDER` reaches, and in how many seconds."""
    words = ["mulde", *words]
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *words, "--out", str(folder), "--json"], stdout=subprocess.PIPE)
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{shlex.join(words)}: ended with code {done.returncode}")
    found = json.loads(done.stdout)
    fit, test = found["fit"], found["test"]
    answers, vectors = test["realistic"], recorded.by_vectors(test)
    return {
        "model": name, "seconds": round(seconds), "epochs": fit["epochs"], "best epoch": fit["best_epoch"],
        "vectors": vectors["mrr"], "published": PUBLISHED[test["data"]], "MRR": answers["mrr"],
        "hits@10": answers["hits@10"], "checksum": test["checksum"], "command": shlex.join(words),
    }  # fmt: skip


def value_of(option: str, command: str) -> int:
    """The number that a command gives to an option."""
    words = shlex.split(command)
    return int(words[words.index(option) + 1])


if __name__ == "__main__":
    main()
