"""Does an average of the weights raise a Junior's MRR? `mulde distil --average`, over seeds.

    python -m benchmarks.quality.averages --data umls --seeds 3
    KGE_DATA_HOME=... python -m benchmarks.quality.averages --data codex-s --seeds 3

One teacher (RotH), and Juniors distilled from it with the same initial weights, order and epochs. Each row has as many
trials with the first seed: last weights under three schedules of the learning rate, and averages (SWA) under a constant
rate that begin after three fractions of the training. The trial with the highest validation MRR is then trained with
the other seeds. The best evaluation on the validation split is kept in all. `alone` is the same for the Junior without
teachers. Writes ``results/averages/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

GRAPHS = {"umls": "--epochs 40", "codex-s": "--epochs 40"}
TEACHER = "train roth --dim 64"
JUNIORS = {"distilled": "distil --junior roth --dim 8 --teacher {teacher}", "alone": "train roth --dim 8"}
RATES = [f"--schedule {schedule}" for schedule in ("linear", "cosine", "constant")]
AVERAGES = [f"--schedule constant --average swa --average-begin {begin}" for begin in (0.25, 0.5, 0.75)]
TRIALS = {"last": RATES, "swa": AVERAGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=GRAPHS, help="graph, repeatable (default: umls)")
    parser.add_argument("--junior", action="append", choices=JUNIORS, help="repeatable (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--runs", type=Path, default=Path("runs/averages"), help="(default: runs/averages)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "averages", help="(default: results/averages)")
    options = parser.parse_args()
    for data in options.data or ["umls"]:
        common = shlex.split(f"--data {data} --threads 1 {GRAPHS[data]}")
        teacher = options.runs / f"{data}-teacher"
        train([*shlex.split(TEACHER), *common], teacher, options.out, teacher.name, model="teacher")
        for junior in options.junior or JUNIORS:
            words = [*shlex.split(JUNIORS[junior].format(teacher=shlex.quote(str(teacher)))), *common]
            for weights, trials in TRIALS.items():
                for seed in range(options.seeds):
                    numbers = range(len(trials)) if seed == 0 else [_best(options.out, data, junior, weights)]
                    for number in numbers:
                        name = f"{data}-{junior}-{weights}-{number}-{seed}"
                        own = [*words, *shlex.split(trials[number]), "--seed", str(seed)]
                        about = {"model": junior, "weights": weights, "trial": trials[number], "number": number}
                        train(own, options.runs / name, options.out, name, **about)
                write_table(options.out)


def _best(out: Path, data: str, junior: str, weights: str) -> int:
    """Number of the trial that was best on the validation split with the first seed."""
    found = [it for it in _of(records.read(out), data, junior, weights) if it["seed"] == 0]
    return int(max(found, key=_valid)["number"])


def _valid(record: records.Record) -> float:
    return float(max(record["curve"]["valid_mrr"]))


def _of(found: list[records.Record], data: str, junior: str, weights: str) -> list[records.Record]:
    return [it for it in found if (it["data"]["name"], it["model"], it.get("weights")) == (data, junior, weights)]


def write_table(folder: Path) -> None:
    """The chosen trial of each row over the seeds, and the paired differences of the averages from the last weights."""
    found, rows = records.read(folder), []
    for data in GRAPHS:
        for junior in JUNIORS:
            chosen: dict[str, dict[int, float]] = {}
            for weights in TRIALS:
                if own := _of(found, data, junior, weights):
                    number = _best(folder, data, junior, weights)
                    own = [it for it in own if it["number"] == number]
                    chosen[weights] = {it["seed"]: records.figures(it)["MRR"] for it in own}
                    rows.append({"data": data, "Junior": junior, "weights": weights, "options": own[0]["trial"],
                                 **records.means(own), "seeds": len(own)})  # fmt: skip
            if len(chosen) == len(TRIALS):
                both = chosen["last"].keys() & chosen["swa"].keys()
                gains = [chosen["swa"][seed] - chosen["last"][seed] for seed in sorted(both)]
                spread = {"MRR": records.mean(gains), "sd": records.deviation(gains), "min": min(gains)}
                rows.append({"data": data, "Junior": junior, "weights": "difference", **spread, "seeds": len(gains)})
    title = "Test MRR (full split, filtered, both directions, realistic), embeddings only: last weights and averages"
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
