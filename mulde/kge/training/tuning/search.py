"""Hyperparameter search: trials of one training or distillation, compared by validation MRR.

The test triples are removed before anything else is done: they are neither ranked nor in the filter. Trials rank by
embeddings only, without masked self-loops and graph prior. The first trial has the values of the preset. Trials that
are worse than the median of the others at the same tenth of their training are stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from kge_data.tripleset import TripleSet
from mulde.config import Count, flatten, hints_of, to_dict
from mulde.config.values import typed
from mulde.engine.progress import Progress, Report, silent
from mulde.engine.provenance import environment, fingerprint
from mulde.errors import NonFiniteError
from mulde.files import file_name
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.run_folder import find_scorer, scorer_name
from mulde.kge.teachers.opening import open_teacher
from mulde.kge.training import stage
from mulde.kge.training.fit import compared
from mulde.kge.training.method_file import open_method
from mulde.kge.training.optimizers import learning_rate
from mulde.kge.training.run import refuse_missing_splits
from mulde.kge.training.tuning.files import write
from mulde.kge.training.tuning.job import Job
from mulde.kge.training.tuning.result import Trial, Tuned, best, line
from mulde.kge.training.tuning.space import read_search, space_of
from mulde.kge.training.tuning.study import importance, next_trial, open_study, quiet, trials_of
from mulde.run_folders import locked_run, waiting

if TYPE_CHECKING:
    import optuna


def tune(
    scorer: str | type[Scorer],
    graph: TripleSet,
    config: Any,
    *,
    method: str | Path | None = None,
    teachers: Sequence[nn.Module | Path | str] = (),
    folder: Path | None = None,
    given: Collection[str] = (),
    search: Mapping[str, Any] | Iterable[str] = (),
    trials: int = 20,
    trial_budget: float | None = None,
    prune: bool = True,
    source: str = "",
    settings: Mapping[str, Any] | None = None,
    wait: bool = False,
    bar: bool | None = None,
    progress: Report = silent,
) -> Tuned:
    """Search options of a training, or of a distillation, by validation MRR.

    The same call again continues a search. ``trials`` and the budget may grow.

    Parameters
    ----------
    scorer
        A name of `mulde list scorers`, or a class.
    graph
        The data. Its test triples are not used.
    config
        Options of the first trial. Its budget is that of the whole search.
    method
        A name of `mulde list methods`, or the path of a Python file; None: training on hard labels.
    teachers
        For a method: run folders, bundles, names of `mulde list models`, or models.
    folder
        Folder of the search. None: ``runs/GRAPH/tune-METHOD-SCORER-DIM``.
    given
        Names of options that are not searched.
    search
        Options to search, see `read_search`.
    trials
        Number of trials, those of earlier calls among them.
    trial_budget
        Seconds for each trial. None: the budget of the search divided by ``trials``.
    prune
        Stop trials early that are worse than the median.
    source
        Name or path that the graph was loaded by.
    settings
        Further options for the settings file.
    wait
        If another process searches in the folder, wait until it has ended.
    bar
        Show a progress bar for each trial on stderr; None: on terminals only.
    progress
        Receives messages: a line for each finished trial.

    Raises
    ------
    UsageError
        For options that do not go together, a folder with another search or in use, or a missing Optuna.
    NonFiniteError
        If every trial diverged.
    """
    refuse_missing_splits(graph, source or graph.name, ("train", "valid"))
    trials = typed(trials, Count, "`trials`")
    graph = replace(graph, test=graph.test[:0])
    kind = find_scorer(scorer) if isinstance(scorer, str) else scorer
    file = None if method is None else open_method(method)
    name = scorer_name(kind)
    if folder is None:
        parts = ["tune", *([] if file is None else [Path(file.name).stem]), name, str(config.model.dim)]
        folder = Path("runs") / file_name(graph.name) / "-".join(parts)
    if hasattr(config, "teacher_cache") and config.teacher_cache is None:
        config = replace(config, teacher_cache=folder / "teacher_predictions")  # one for all trials
    hints = hints_of(type(config))
    first = {**flatten(config), "lr": learning_rate(config.training, len(graph.train))}
    space = space_of(first, hints, given, read_search(search, hints))
    opened = [each if isinstance(each, nn.Module) else open_teacher(each, graph) for each in teachers]
    job = Job(kind, graph, config, file, opened, folder, space, trials, prune, known_answers(graph), bar, progress)
    job.check()
    identity = {
        **stage.of_scorer(kind),
        "method": None if file is None else [file.name, file.source],
        "teachers": [fingerprint(teacher) for teacher in opened],
        "data": {"name": graph.name, "train and valid": graph.checksum},
        **{option: value for option, value in to_dict(config).items() if option in compared(config)},
        "epochs": config.training.epochs,
        "seed": config.training.seed,
        "search": {option: str(dimension) for option, dimension in space.items()},
        "trial_budget": trial_budget,
        "prune": prune,
    }
    about: dict[str, Any] = {"data": source or graph.name, "out": str(folder / "best"), **(settings or {})}
    if file is None:
        about |= {"scorer": name}
    else:
        paths = [str(each) for each in teachers if not isinstance(each, nn.Module)]
        about = {"method": file.place, "junior": name, "teacher": paths, **about}
    machine = environment()
    with quiet(), locked_run(folder, waiting(wait, progress)):
        study = open_study(folder, identity)
        total = config.training.budget
        if "trial_seconds" not in study.user_attrs:
            study.set_user_attr("trial_seconds", trial_budget or (total and total / trials))
        limit = study.user_attrs["trial_seconds"]
        if limit is not None and len(trials_of(study, first)) < trials:
            job.warm_up()
        while len(done := trials_of(study, first)) < trials:
            left = None if total is None else total - sum(trial.seconds for trial in done)
            if left is not None and left <= 0:
                ended = f"budget used up after {len(done)} of {trials} trials; a larger --budget continues"
                progress(Progress("tune", ended))
                break
            seconds = min((each for each in (limit, left) if each is not None), default=None)
            job.run(study, next_trial(study, space, first, config.training.seed), seconds)
            done = trials_of(study, first)
            progress(Progress("tune", line(done, trials), len(done) / trials))
            if best(done) is not None:
                write(_tuned(done, study, job, about), machine)
        if best(done) is None:
            raise NonFiniteError(
                f"none of {len(done)} trials was finished, as losses diverged; search smaller learning rates in "
                "another --out, for example --search lr=1e-5:1e-2:log"
            )
        result = _tuned(done, study, job, about)
        write(result, machine)
    return result


def _tuned(trials: Sequence[Trial], study: optuna.Study, job: Job, about: Mapping[str, Any]) -> Tuned:
    """The result of the trials so far."""
    winner = best(trials)
    assert winner is not None
    options = job.options({} if winner is trials[0] else winner.settings, study.user_attrs["trial_seconds"])
    method = "" if job.method is None else f", distilled by {job.method.name}"
    return Tuned(
        job.folder,
        f"{job.graph.name}: {scorer_name(job.scorer)}, {job.config.model.dim} dimensions{method}",
        tuple(trials),
        winner,
        {name: str(dimension) for name, dimension in job.space.items()},
        importance(study),
        {**about, **to_dict(options), **about},
        "train" if job.method is None else "distil",
    )
