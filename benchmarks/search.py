"""Settings searched on the validation split by Optuna, with the same number of trials for each way of training.

    KGE_DATA_HOME=... python benchmarks/search.py --data fb15k-237 --teacher runs/fb/complex-400 --trials 8

Ways: the Junior alone with the binary loss, alone with the loss over all entities, and taught by the teacher's written
answers. Every trial is a short training (``--epochs`` over the distinct queries; the binary loss, whose epochs are
cheaper, gets ``--binary-epochs``); its value is the best validation MRR, the test split is never ranked. The first
trial of each way has the settings of preset `best` (alone, binary: `kgemb`). Studies are kept in ``--runs`` as an
Optuna journal and continued from there; all trials, with those of other ways from earlier calls, are written to
``results/search/<data>-<junior>.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import kge_data
from mulde import process
from mulde.files import write_atomically
from mulde.kge import stages
from mulde.kge.link_prediction import known_answers
from mulde.kge.options import DistilConfig, FitConfig
from mulde.kge.presets import defaults
from mulde.report import circumstances, table
from mulde.scorers.model import ModelConfig

Suggestion = Callable[[optuna.Trial], dict[str, Any]]


def binary(trial: optuna.Trial) -> dict[str, Any]:
    """Alone, binary loss against random tails."""
    return {
        "lr": trial.suggest_float("lr", 1e-2, 2e-1, log=True),
        "negatives": trial.suggest_categorical("negatives", [50, 100, 200]),
        "batch_size": trial.suggest_categorical("batch_size", [250, 500, 1000]),
    }


def one_vs_all(trial: optuna.Trial) -> dict[str, Any]:
    """Alone, loss over all entities."""
    return {
        "lr": trial.suggest_float("lr", 2e-2, 4e-1, log=True),
        "n3": trial.suggest_float("n3", 1e-6, 1e-1, log=True),
    }


def taught(trial: optuna.Trial) -> dict[str, Any]:
    """Taught by written answers."""
    return {
        "lr": trial.suggest_float("lr", 2e-2, 4e-1, log=True),
        "soft_weight": trial.suggest_float("soft_weight", 0.25, 8, log=True),
        "temperature": trial.suggest_float("temperature", 0.5, 2, log=True),
    }


WAYS: dict[str, tuple[Suggestion, dict[str, Any]]] = {
    "alone, binary loss": (binary, {"lr": 5e-2, "negatives": 50, "batch_size": 500}),
    "alone, 1vsall": (one_vs_all, {"lr": 0.1, "n3": 1e-6}),
    "taught (offline)": (taught, {"lr": 0.1, "soft_weight": 1.0, "temperature": 1.0}),
}
"""What is searched, and the first trial."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fb15k-237", help="graph (default: fb15k-237)")
    parser.add_argument("--junior", default="affineh", help="the Junior's scorer (default: affineh)")
    parser.add_argument("--dim", type=int, default=32, help="its dimension (default: 32)")
    parser.add_argument("--teacher", type=Path, help="run folder of the teacher, for the taught Junior")
    parser.add_argument("--trials", type=int, default=8, help="trials of each way (default: 8)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a trial (default: 4)")
    parser.add_argument("--binary-epochs", type=int, default=12, help="the same, binary loss (default: 12)")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this way, repeatable (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="(default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs/search"), help="studies (default: runs/search)")
    parser.add_argument("--out", type=Path, default=Path("results/search"), help="(default: results/search)")
    options = parser.parse_args()
    ways = options.way or list(WAYS)
    if options.teacher is None and any("taught" in way for way in ways):
        parser.error("the taught Junior needs --teacher; or name the other ways with --way")
    process.start(options.threads)
    graph = kge_data.load(options.data)
    known, place = known_answers(graph), f"{options.data}-{options.junior}"
    for folder in (options.runs, options.out):
        folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(options.runs / f"{place}.log")))

    def value(way: str, chosen: dict[str, Any]) -> float:
        preset, epochs = ("kgemb", options.binary_epochs) if "binary" in way else ("best", options.epochs)
        of = DistilConfig if "taught" in way else FitConfig
        names = frozenset(field.name for field in fields(DistilConfig))
        given = defaults({"preset": preset, "data": options.data}, names)
        given |= {"dim": options.dim, "epochs": epochs, "every": max(1, epochs // 2), "corrupt": "tail"} | chosen
        given |= {"dtype": "float32"}
        shape = {field.name for field in fields(ModelConfig)}
        fit = of(**{field.name: given[field.name] for field in fields(of) if field.name in given})
        if isinstance(fit, DistilConfig):
            answers = options.runs / f"{place}-answers"
            fit = replace(fit, answers=answers)
            with tempfile.TemporaryDirectory() as folder:
                found = stages.distil(options.junior, [options.teacher], graph, fit, Path(folder), known=known)
        else:
            config = ModelConfig(**{name: content for name, content in given.items() if name in shape})
            found = stages.train(options.junior, graph, fit, config, None, known=known)
        return float(found.record.best_metrics["valid/mrr"])

    record = options.out / f"{place}.json"
    before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    kept: dict[str, list[dict[str, Any]]] = before.get("trials", {})
    for way in ways:
        suggest, first = WAYS[way]
        study = optuna.create_study(
            storage=storage, study_name=way, direction="maximize", load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=max(3, options.trials // 2)),
        )  # fmt: skip
        if not study.trials:
            study.enqueue_trial(first)
        done = sum(trial.state.is_finished() for trial in study.trials)
        study.optimize(lambda trial, w=way, s=suggest: value(w, s(trial)), n_trials=max(0, options.trials - done))
        kept[way] = [{"value": t.value, **t.params} for t in study.trials if t.value is not None]
        rows = [_row(way, trials) for way, trials in kept.items()]
        print(table(rows), flush=True)
        about = {name: str(given) for name, given in vars(options).items()}
        calls = [*before.get("calls", []), about]
        content = {"calls": calls, "trials": kept, **circumstances()}
        write_atomically(record, (json.dumps(content, indent=1) + "\n").encode())
        title = f"{options.data}, Junior {options.junior} {options.dim}-d: validation MRR after short trainings, seed 0"
        write_atomically(options.out / f"{place}.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())


def _row(way: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Number of trials, the value of the first and the best one, with its settings."""
    best = max(trials, key=lambda trial: float(trial["value"]))
    settings = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in best.items()
        if name != "value"
    )
    first = trials[0]["value"]
    return {
        "way": way,
        "trials": len(trials),
        "preset, valid MRR": first,
        "best": best["value"],
        "its settings": settings,
    }


if __name__ == "__main__":
    main()
