"""The whole job of `mulde run` within a time budget: teachers, baseline, Senior and Junior of one seed.

    KGE_DATA_HOME=... python -m benchmarks.quality.pipeline                  (all; two and a half hours)
    KGE_DATA_HOME=... python -m benchmarks.quality.pipeline --only umls-8

Each entry of ``RUNS`` is one `mulde run` command. Writes ``results/pipeline/<name>/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

ORDER = ("teacher", "baseline", "Senior", "Junior")  # first words of the models
FOUR = "--teacher hyperbolic_transe --teacher disth --teacher roth --teacher refh"
RUNS = {
    "umls-8": "--data umls --dim 8",
    "umls-8-best": "--data umls --dim 8 --preset best --epochs 30",
    "umls-32": "--data umls",
    "wn18rr-two": "--data wn18rr --budget 25m --lr 0.005 --batch-size 500 --threads 1",
    "fb15k-237-two": "--data fb15k-237 --budget 42m --threads 1",
    "wn18rr": f"--data wn18rr {FOUR} --budget 25m --lr 0.002 --batch-size 500 --threads 1",
    "fb15k-237": f"--data fb15k-237 {FOUR} --budget 42m --batch-size 500 --threads 1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=RUNS, help="one of the runs (repeats; default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs/pipeline"), help="run folders (default: runs/pipeline)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "pipeline", help="(default: results/pipeline)")
    options = parser.parse_args()
    for name in options.only or RUNS:
        train(["run", *shlex.split(RUNS[name])], options.runs / name, options.out / name, name)
        write_table(options.out / name)


def model_of(record: records.Record) -> str:
    """What a model of a run is."""
    stage = record["run"].partition("/")[2]
    if stage.startswith("teachers/"):
        return f"teacher {record['settings']['scorer']}"
    return {"senior": "Senior", "ensemble": "teacher ensemble", "junior": "Junior"}.get(stage, stage)


def write_table(folder: Path) -> None:
    """The models of a run; the teacher ensemble adds the teachers' scores."""
    found = sorted(records.read(folder), key=lambda it: ORDER.index(model_of(it).split()[0]))
    rows = [
        {
            "model": model_of(it), "dim": it.get("dim"), "parameters": it.get("parameters"), "MB": it.get("MB"),
            **records.figures(it), "best epoch": it.get("best_epoch"),
            "seconds": round(it["seconds"]) if "seconds" in it else None,
        }
        for it in found
    ]  # fmt: skip
    title = f"{found[0]['data']['name']}: full test split, filtered, both directions, realistic ranks; embeddings only"
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
