"""Search of settings by Optuna on the validation split, with the same number of trials for each way of training.

    KGE_DATA_HOME=... python -m benchmarks.quality.search --data fb15k-237 --teacher runs/fb/complex-400 --trials 8
    KGE_DATA_HOME=... python -m benchmarks.quality.search --data wn18rr --junior roth --trials 10 --way "baseline,
    timed" \
        --way "distilled (mulde), timed" --teacher .../teachers/refh --teacher .../teachers/roth

Ways: the Junior without teachers with the binary loss or the loss over all entities, and distilled from cached teacher
predictions. Every trial of these is a short training (``--epochs`` over the distinct queries; the binary loss, whose
epochs are cheaper, gets ``--binary-epochs``). The timed ways, without teachers and distilled by MulDE, both with the
preset `recommended`, give every trial ``--budget``. The value of a trial is the best validation MRR; the test split is
not used. The first trial of each way has the settings of its preset (`best`, `recommended`; binary loss: `kgemb`).
Studies are kept in ``--runs`` as an Optuna journal and continued from there. Writes
``results/search/<data>-<junior>/``, a record per trial.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import kge_data
from benchmarks.harness import records
from mulde.config import from_dict, hints_of, to_dict
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.training import stage, supervised
from mulde.kge.training.method_file import open_method
from mulde.kge.training.optimizers import learning_rate
from mulde.kge.training.presets import defaults

Suggestion = Callable[[optuna.trial.BaseTrial], dict[str, Any]]


def binary(lowest: float, highest: float) -> Suggestion:
    """No teachers, binary loss against random tails, with a learning rate between these."""
    return lambda trial: {
        "lr": trial.suggest_float("lr", lowest, highest, log=True),
        "negatives": trial.suggest_categorical("negatives", [50, 100, 200]),
        "batch_size": trial.suggest_categorical("batch_size", [250, 500, 1000]),
    }


def one_vs_all(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """No teachers, loss over all entities."""
    return {
        "lr": trial.suggest_float("lr", 2e-2, 4e-1, log=True),
        "n3": trial.suggest_float("n3", 1e-6, 1e-1, log=True),
    }


def distilled(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Distilled from cached teacher predictions."""
    return {
        "lr": trial.suggest_float("lr", 2e-2, 4e-1, log=True),
        "soft_weight": trial.suggest_float("soft_weight", 0.25, 8, log=True),
        "temperature": trial.suggest_float("temperature", 0.5, 2, log=True),
    }


def distilled_timed(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Distilled by MulDE."""
    return {
        "lr": trial.suggest_float("lr", 1e-3, 2e-2, log=True),
        "soft_weight": trial.suggest_float("soft_weight", 3e-3, 1, log=True),
        "temperature": trial.suggest_float("temperature", 0.5, 2, log=True),
        "teacher_query_fraction": trial.suggest_float("teacher_query_fraction", 0.02, 0.5, log=True),
    }


@dataclass(frozen=True)
class Way:
    """A way of training: search space, preset, and first trial (None: the value of the preset)."""

    suggest: Suggestion
    first: dict[str, Any]
    preset: str
    distilled: bool = False
    timed: bool = False


WAYS = {
    "baseline, binary loss": Way(binary(1e-2, 2e-1), {"lr": 5e-2, "negatives": 50, "batch_size": 500}, "kgemb"),
    "baseline, 1vsall": Way(one_vs_all, {"lr": 0.1, "n3": 1e-6}, "best"),
    "distilled (offline)": Way(distilled, {"lr": 0.1, "soft_weight": 1.0, "temperature": 1.0}, "best", distilled=True),
    "baseline, timed": Way(
        binary(1e-3, 2e-2), dict.fromkeys(("lr", "negatives", "batch_size")), "recommended", timed=True
    ),
    "distilled (mulde), timed": Way(
        distilled_timed,
        {"lr": None, "soft_weight": None, "temperature": None, "teacher_query_fraction": 0.05},
        "recommended",
        True,
        True,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fb15k-237", help="graph (default: fb15k-237)")
    parser.add_argument("--junior", default="affineh", help="the Junior's scorer (default: affineh)")
    parser.add_argument("--dim", type=int, default=32, help="its dimension (default: 32)")
    parser.add_argument("--teacher", type=Path, action="append", help="run folder of a teacher, repeatable")
    parser.add_argument("--trials", type=int, default=8, help="trials of each way (default: 8)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a trial (default: 4)")
    parser.add_argument("--binary-epochs", type=int, default=12, help="the same, binary loss (default: 12)")
    parser.add_argument("--budget", default="3m", help="time of a trial, timed ways (default: 3m)")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way, repeatable (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="(default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/search"), help="studies (default: runs/search)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "search", help="(default: results/search)")
    options = parser.parse_args()
    ways = options.way or list(WAYS)
    if not options.teacher and any(WAYS[way].distilled for way in ways):
        parser.error("the distilled Junior needs --teacher; or name the other ways with --way")
    process.start()
    with process.threads(options.threads):
        search(options, ways)


def search(options: argparse.Namespace, ways: list[str]) -> None:
    """Run the studies and record them."""
    graph = kge_data.load(options.data)
    known, place = known_answers(graph), f"{options.data}-{options.junior}"
    options.runs.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(options.runs / f"{place}.log")))

    def method(way: Way) -> str:
        return str(defaults({"preset": way.preset}, frozenset({"method"})).get("method", "mulde"))

    def settings(way: Way, chosen: dict[str, Any]) -> Any:
        kind = open_method(method(way)).Config if way.distilled else supervised.Config
        given = defaults({"preset": way.preset, "data": options.data}, frozenset(hints_of(kind)))
        if way.timed:
            given |= {"budget": options.budget, "compile": "on"}
        else:
            epochs = options.binary_epochs if way.preset == "kgemb" else options.epochs
            given |= {"epochs": epochs, "eval_every": max(1, epochs // 2), "corrupt": "tail", "dtype": "float32"}
        return from_dict(kind, given | {"dim": options.dim} | chosen)

    def value(way: Way, trial: optuna.trial.BaseTrial, **others: Any) -> float:
        config = settings(way, way.suggest(trial) | others)
        if way.distilled:
            if hasattr(config, "teacher_cache"):
                config = replace(config, teacher_cache=options.runs / f"{place}-predictions")
            with tempfile.TemporaryDirectory() as folder:
                found = stage.distil(
                    options.junior, options.teacher, graph, config, Path(folder), method=method(way), known=known
                )
        else:
            found = stage.train(options.junior, graph, config, None, known=known)
        return float(found.record.best_metrics["valid/mrr"])

    out = options.out / place
    for name in ways:
        way = WAYS[name]
        preset = settings(way, {})
        resolved = {**to_dict(preset), "lr": learning_rate(preset.training, len(graph.train))}
        first = {key: resolved[key] if given is None else given for key, given in way.first.items()}
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=max(3, options.trials // 2)),
        )  # fmt: skip
        if not study.trials:
            study.enqueue_trial(first)
        done = sum(trial.state.is_finished() for trial in study.trials)
        if way.timed:
            value(way, optuna.trial.FixedTrial(first), budget="1s")  # compiles, which no trial should pay for
        study.optimize(partial(value, way), n_trials=max(0, options.trials - done))
        about = {
            "way": name, "command": " ".join(["python", "-m", "benchmarks.quality.search", *sys.argv[1:]]), "seed": 0,
            "data": {"name": graph.name, "checksum": graph.checksum}, "junior": options.junior, "dim": options.dim,
            **records.environment(),
        }  # fmt: skip
        trials = [trial for trial in study.trials if trial.value is not None]
        made = [
            {"run": f"{name}, {number}", **about, "settings": trial.params, "metrics": {"valid_mrr": trial.value}}
            for number, trial in enumerate(trials)
        ]
        records.write(out, [*(it for it in records.read(out) if it["way"] != name), *made])
        write_table(out)


def write_table(folder: Path) -> None:
    """For each way the number of trials, the first value, and the best one with its settings."""
    found, rows = records.read(folder), []
    for way in dict.fromkeys(it["way"] for it in found):
        own = [it for it in found if it["way"] == way]
        best = max(own, key=_value)
        settings = ", ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in best["settings"].items()
        )
        row = {"way": way, "trials": len(own), "preset, valid MRR": _value(own[0]), "best": _value(best)}
        rows.append({**row, "its settings": settings})
    title = f"{found[0]['data']['name']}, Junior {found[0]['junior']} {found[0]['dim']}-d"
    records.write_table(folder, f"{title}: validation MRR after short trainings, seed 0", rows)


def _value(record: records.Record) -> float:
    return float(record["metrics"]["valid_mrr"])


if __name__ == "__main__":
    main()
