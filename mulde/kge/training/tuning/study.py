"""The Optuna study of a search: a journal in the folder of the search, which survives a kill at any time.

A trial that was running when the process ended is continued. The sampler of a trial is seeded by the number of the
trial, so that a search that is continued makes the same trials as one that is not interrupted.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde.differences import differences
from mulde.errors import UsageError, missing
from mulde.kge.training.tuning.result import Trial
from mulde.kge.training.tuning.space import Space

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.log"
NAME = "tune"
STARTUP = 8  # trials before the sampler uses what it has seen
WARMUP = 2  # tenths of a training in which no trial is stopped


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's messages and warnings.

    Raises
    ------
    MissingExtra
        If Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise missing("tune searches with Optuna", "tune") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def open_study(folder: Path, settings: Mapping[str, Any]) -> optuna.Study:
    """The study in a folder, or a new one. The lock of the folder must be held.

    Parameters
    ----------
    folder
        Folder of the search.
    settings
        Plain values that must be equal when the search is continued.

    Raises
    ------
    UsageError
        If the study has finished trials and other settings.
    """
    study = _opened(folder / JOURNAL)
    before = study.user_attrs.get("settings", settings)
    if changes := differences(before, dict(settings)):
        if any(trial.state.is_finished() for trial in study.trials):
            raise UsageError(
                f"{folder} holds a search with other settings; give another --out, or the old settings:\n  "
                + "\n  ".join(changes)
            )
        (folder / JOURNAL).unlink()
        shutil.rmtree(trial_folder(folder, 0), ignore_errors=True)
        study = _opened(folder / JOURNAL)
    study.set_user_attr("settings", dict(settings))
    return study


def trial_folder(folder: Path, number: int) -> Path:
    """Folder of a running trial, with its checkpoints."""
    return folder / f"trial-{number}"


def _opened(path: Path) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage

    from mulde.kge.training.tuning.journal import Journal

    storage = JournalStorage(Journal(path))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP // 2, n_warmup_steps=WARMUP)
    return optuna.create_study(
        storage=storage, study_name=NAME, direction="maximize", load_if_exists=True, pruner=pruner
    )


def next_trial(study: optuna.Study, space: Space, first: Mapping[str, Any], seed: int) -> optuna.Trial:
    """The interrupted trial, or a new one with suggested values.

    Parameters
    ----------
    study
        The study.
    space
        What is searched.
    first
        Values of the first trial. Values outside of the space are not passed to the sampler.
    seed
        Seed of the search.
    """
    import optuna

    running = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.RUNNING]
    number = running[0].number if running else len(study.trials)
    inside = {name: first[name] for name, dimension in space.items() if first[name] in dimension}
    study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=STARTUP)
    if not study.trials:
        study.enqueue_trial(inside)
    trial = optuna.trial.Trial(study, running[0]._trial_id) if running else study.ask()
    for name, dimension in space.items():
        if trial.number > 0 or name in inside:
            dimension.suggest(trial, name)
    return trial


def trials_of(study: optuna.Study, first: Mapping[str, Any]) -> tuple[Trial, ...]:
    """The trials that have ended.

    Parameters
    ----------
    first
        Values of the first one.
    """
    found = []
    for trial in study.trials:
        if trial.state.is_finished():
            stopped = "diverged" if "diverged" in trial.user_attrs else "stopped early"
            state = "finished" if trial.state.name == "COMPLETE" else stopped
            chosen = first if trial.number == 0 else trial.params
            settings = {name: chosen[name] for name in study.user_attrs["settings"]["search"]}
            found.append(Trial(trial.number + 1, state, trial.value, trial.user_attrs["seconds"], settings))
    return tuple(found)


def importance(study: optuna.Study, least: int = 10) -> dict[str, float]:
    """Option -> its part in the difference between the better quarter of the trials and all (PED-ANOVA), in [0, 1].

    Empty for fewer than ``least`` finished trials, or one option.
    """
    import optuna

    trials = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    names = max((trial.params.keys() for trial in trials), key=len, default=())
    trials = [trial for trial in trials if trial.params.keys() == names]
    if len(trials) < least or len(names) < 2:
        return {}
    copy = optuna.create_study(direction="maximize")
    copy.add_trials(trials)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    found = optuna.importance.get_param_importances(copy, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}
