"""Does an average of the weights, or a second generation, raise a Junior's MRR? Over seeds.

    python -m benchmarks.quality.averages --data umls --seeds 3
    KGE_DATA_HOME=... python -m benchmarks.quality.averages --data codex-s --junior distilled --trial 2

One teacher (RotH), and Juniors distilled from it with the same initial weights, order and epochs. `last` and `swa` have
as many trials with the first seed: last weights under three schedules of the learning rate, and averages under a
constant rate that begin after three fractions of the training. The trial with the highest validation MRR is then
trained with the other seeds. `second` is a Junior whose teacher is the Junior `last` of the same seed, and `longer` the
control of equal cost: one generation with twice the epochs. Both have the schedule of `last`. The best evaluation on
the validation split is kept in all. `alone` is the same for the Junior without teachers. Writes ``results/averages/``.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.harness import records
from benchmarks.harness.trained import train

GRAPHS = {"umls": (8, 40), "codex-s": (16, 5)}
"""Dimensions of the Junior, and epochs."""
TEACHER = "train roth --dim 64"
JUNIORS = {"distilled": "distil --junior roth --teacher {teacher}", "alone": "train roth"}
RATES = [f"--schedule {schedule}" for schedule in ("linear", "cosine", "constant")]
AVERAGES = [f"--schedule constant --average swa --average-begin {begin}" for begin in (0.25, 0.5, 0.75)]
TRIALS = {"last": RATES, "swa": AVERAGES}
GENERATIONS = {"second": ("{first}", 1), "longer": ("{teacher}", 2)}
"""Teacher, and multiple of the epochs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=GRAPHS, help="graph, repeatable (default: umls)")
    parser.add_argument("--junior", action="append", choices=JUNIORS, help="repeatable (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--trial", type=int, choices=range(3), help="take this trial of each row, without a search")
    parser.add_argument("--runs", type=Path, default=Path("runs/averages"), help="(default: runs/averages)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "averages", help="(default: results/averages)")
    options = parser.parse_args()
    for data in options.data or ["umls"]:
        teacher = options.runs / f"{data}-teacher"
        words = shlex.split(f"{TEACHER} --data {data} --threads 1 --epochs {GRAPHS[data][1]}")
        train(words, teacher, options.out, teacher.name, model="teacher")
        for junior in options.junior or JUNIORS:
            for variant, trials in TRIALS.items():
                for seed in range(options.seeds):
                    searched = seed == 0 and options.trial is None
                    known = _best(options.out, data, junior, variant) if seed else options.trial
                    for number in range(len(trials)) if searched else [known]:
                        _train(options.runs, options.out, data, junior, variant, number, seed)
                write_table(options.out)
            for variant in GENERATIONS if junior == "distilled" else ():
                for seed in range(options.seeds):
                    number = _best(options.out, data, junior, "last")
                    _train(options.runs, options.out, data, junior, variant, number, seed)
                write_table(options.out)


def _train(runs: Path, out: Path, data: str, junior: str, variant: str, number: int, seed: int) -> None:
    """Train and record one Junior."""
    trial, (dim, epochs), teacher = TRIALS.get(variant, RATES)[number], GRAPHS[data], f"{runs}/{data}-teacher"
    if variant in GENERATIONS:
        given, times = GENERATIONS[variant]
        first = f"{runs}/{data}-{junior}-last-{number}-{seed}"
        teacher, epochs = given.format(teacher=teacher, first=first), times * epochs
    words = shlex.split(JUNIORS[junior].format(teacher=shlex.quote(teacher)))
    common = f"--dim {dim} --data {data} --threads 1 --epochs {epochs} {trial} --seed {seed}"
    name = f"{data}-{junior}-{variant}-{number}-{seed}"
    about = {"model": junior, "variant": variant, "trial": trial, "number": number}
    train([*words, *shlex.split(common)], runs / name, out, name, **about)


def _best(out: Path, data: str, junior: str, variant: str) -> int:
    """Number of the trial that was best on the validation split with the first seed."""
    found = [it for it in _of(records.read(out), data, junior, variant) if it["seed"] == 0]
    return int(max(found, key=_valid)["number"])


def _valid(record: records.Record) -> float:
    return float(max(record["curve"]["valid_mrr"]))


def _of(found: list[records.Record], data: str, junior: str, variant: str) -> list[records.Record]:
    return [it for it in found if (it["data"]["name"], it["model"], it.get("variant")) == (data, junior, variant)]


def write_table(folder: Path) -> None:
    """Each variant with its chosen trial over the seeds, and the paired differences from the last weights."""
    found, rows = records.read(folder), []
    for data in GRAPHS:
        for junior in JUNIORS:
            chosen: dict[str, dict[int, float]] = {}
            for variant in (*TRIALS, *GENERATIONS):
                if own := _of(found, data, junior, variant):
                    number = _best(folder, data, junior, variant)
                    own = [it for it in own if it["number"] == number]
                    chosen[variant] = {it["seed"]: records.figures(it)["MRR"] for it in own}
                    rows.append({"data": data, "Junior": junior, "variant": variant, "options": own[0]["trial"],
                                 **records.means(own), "seeds": len(own)})  # fmt: skip
            for variant in [it for it in chosen if it != "last"] if "last" in chosen else ():
                both = chosen["last"].keys() & chosen[variant].keys()
                gains = [chosen[variant][seed] - chosen["last"][seed] for seed in sorted(both)]
                spread = {"MRR": records.mean(gains), "sd": records.deviation(gains), "min": min(gains)}
                rows.append({"data": data, "Junior": junior, "variant": f"{variant} - last", **spread,
                             "seeds": len(gains)})  # fmt: skip
    title = "Test MRR (full split, filtered, both directions, realistic), embeddings only: last weights and others"
    records.write_table(folder, title, rows)


if __name__ == "__main__":
    main()
