"""Search of settings by `mulde.tune`, with the same number of trials for each way of training.

    KGE_DATA_HOME=... python -m benchmarks.quality.search --data fb15k-237 --teacher runs/fb/complex-400 --trials 8
    KGE_DATA_HOME=... python -m benchmarks.quality.search --data wn18rr --junior roth --trials 10 \
        --way "baseline, timed" --way "distilled (mulde), timed" --teacher .../teachers/refh --teacher .../teachers/roth

Ways: the Junior without teachers with the binary loss or the loss over all entities, and distilled from cached teacher
predictions. Every trial of these is a short training (``--epochs`` over the distinct queries; the binary loss, whose
epochs are cheaper, gets ``--binary-epochs``). The timed ways, without teachers and distilled by MulDE, both with the
preset `recommended`, give every trial ``--budget``. The first trial of each way has the settings of its preset (`best`,
`recommended`; binary loss: `kgemb`). Searches are kept in ``--runs`` and continued from there. Writes
``results/search/<data>-<junior>/``, a record per trial.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mulde
from benchmarks.harness import records
from mulde.engine import process
from mulde.kge.training.presets import PresetName
from mulde.kge.training.tuning.result import Trial, short


@dataclass(frozen=True)
class Way:
    """A way of training: preset, what is searched, and options that are fixed."""

    preset: PresetName
    search: dict[str, Any]
    fixed: dict[str, Any] = field(default_factory=dict)
    method: str | None = None
    timed: bool = False


NEGATIVES = {"negatives": (50, 100, 200), "batch_size": (250, 500, 1000)}
SHORT = {"corrupt": "tail", "dtype": "float32"}
SOFT = {"temperature": "0.5:2:log"}

WAYS = {
    "baseline, binary loss": Way("kgemb", {"lr": "1e-2:2e-1:log", **NEGATIVES}, {"lr": 5e-2, **SHORT}),
    "baseline, 1vsall": Way(
        "best", {"lr": "2e-2:4e-1:log", "n3": "1e-6:1e-1:log"}, {"n3": 1e-6, "batch_size": 256, **SHORT}
    ),
    "distilled (offline)": Way(
        "best", {"lr": "2e-2:4e-1:log", "soft_weight": "0.25:8:log", **SOFT},
        {"soft_weight": 1.0, "temperature": 1.0, "batch_size": 256, "n3": 0.0, **SHORT}, "offline",
    ),
    "baseline, timed": Way("recommended", {"lr": "1e-3:2e-2:log", **NEGATIVES}, timed=True),
    "distilled (mulde), timed": Way(
        "recommended",
        {"lr": "1e-3:2e-2:log", "soft_weight": "3e-3:1:log", "teacher_query_fraction": "0.02:0.5:log",
         **SOFT, **NEGATIVES},
        {"teacher_query_fraction": 0.05}, "mulde", timed=True,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fb15k-237", help="graph (default: fb15k-237)")
    parser.add_argument("--junior", default="affineh", help="the Junior's scorer (default: affineh)")
    parser.add_argument("--dim", type=int, default=32, help="its dimension (default: 32)")
    parser.add_argument("--teacher", type=Path, action="append", default=[], help="run folder of a teacher, repeatable")
    parser.add_argument("--trials", type=int, default=8, help="trials of each way (default: 8)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a trial (default: 4)")
    parser.add_argument("--binary-epochs", type=int, default=12, help="the same, binary loss (default: 12)")
    parser.add_argument("--budget", default="3m", help="time of a trial, timed ways (default: 3m)")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way, repeatable (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="(default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/search"), help="searches (default: runs/search)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "search", help="(default: results/search)")
    options = parser.parse_args()
    ways = options.way or list(WAYS)
    if not options.teacher and any(WAYS[way].method for way in ways):
        parser.error("the distilled Junior needs --teacher; or name the other ways with --way")
    process.start()
    place = f"{options.data}-{options.junior}"
    out = options.out / place
    for name in ways:
        way = WAYS[name]
        epochs = options.binary_epochs if way.preset == "kgemb" else options.epochs
        short_trial = {"epochs": epochs, "eval_every": max(1, epochs // 2)}
        fixed: Any = {"dim": options.dim, **way.fixed, **({"compile": "on"} if way.timed else short_trial)}
        result = mulde.tune(
            options.junior, options.data, options.teacher if way.method else (),
            method=way.method, preset=way.preset, search=way.search, trials=options.trials, prune=False,
            trial_budget=options.budget if way.timed else None, folder=options.runs / place / name,
            threads=options.threads, **fixed,
        )  # fmt: skip
        about = {
            "way": name, "command": " ".join(["python", "-m", "benchmarks.quality.search", *sys.argv[1:]]), "seed": 0,
            "data": {"name": options.data}, "junior": options.junior, "dim": options.dim,
            **records.environment(),
        }  # fmt: skip
        made = [_record(name, trial, about) for trial in result.trials if trial.state == "finished"]
        records.write(out, [*(it for it in records.read(out) if it["way"] != name), *made])
        write_table(out)


def _record(name: str, trial: Trial, about: records.Record) -> records.Record:
    metrics = {"valid_mrr": trial.mrr}
    return {"run": f"{name}, {trial.number - 1}", **about, "settings": dict(trial.settings), "metrics": metrics}


def write_table(folder: Path) -> None:
    """For each way the number of trials, the first value, and the best one with its settings."""
    found, rows = records.read(folder), []
    for way in dict.fromkeys(it["way"] for it in found):
        own = [it for it in found if it["way"] == way]
        best = max(own, key=_value)
        settings = ", ".join(f"{name} {short(value)}" for name, value in best["settings"].items())
        row = {"way": way, "trials": len(own), "preset, valid MRR": _value(own[0]), "best": _value(best)}
        rows.append({**row, "its settings": settings})
    title = f"{found[0]['data']['name']}, Junior {found[0]['junior']} {found[0]['dim']}-d"
    records.write_table(folder, f"{title}: validation MRR after short trainings, seed 0", rows)


def _value(record: records.Record) -> float:
    return float(record["metrics"]["valid_mrr"])


if __name__ == "__main__":
    main()
