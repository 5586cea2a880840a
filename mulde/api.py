"""The main job from Python.

    import mulde

    result = mulde.run("umls", teachers=["roth", "refh"], junior="roth", dim=32, budget="10m")
    result.junior, result.folder, result.to_pandas()

or step by step:

    teachers = [mulde.train(name, "umls", dim=64, epochs=50) for name in ("roth", "refh")]
    junior = mulde.distil("roth", teachers, "umls", dim=16, epochs=50, folder="runs/junior")
    mulde.evaluate(junior, "umls").metrics()
    mulde.predict(junior, "umls", head="virus", relation="causes")
    mulde.explain(junior, "umls", head="virus", relation="causes", tail="human")
    mulde.discover(junior, "umls", top=100).to_pandas()
    junior = mulde.load("runs/junior")

Options are those of the command line, which `mulde train --help-all` and `mulde distil --help-all` describe. Options
that are not given have the values of the preset. The file is long because each function documents all its parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, TypeVar, Unpack

from torch import nn

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.config import Duration, defaults_of, from_dict, hints_of
from mulde.config.values import alternatives, typed
from mulde.engine.device import resolved
from mulde.engine.progress import Progress, silent
from mulde.errors import UsageError, unknown
from mulde.kge.evaluation import link_prediction
from mulde.kge.evaluation.link_prediction import LinkPrediction, Ranker
from mulde.kge.inference import discover as missing_facts
from mulde.kge.inference.candidate_choice import Listed, entities_of
from mulde.kge.inference.candidates import Kind
from mulde.kge.inference.facts import Facts
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.threads import threads_for
from mulde.kge.options import Teachers
from mulde.kge.storage.graph import graph_of
from mulde.kge.storage.run_folder import open_model
from mulde.kge.training import run as main_job
from mulde.kge.training import stage, supervised
from mulde.kge.training.keywords import DistilOptions, RunOptions, TrainOptions, TuneOptions
from mulde.kge.training.method_file import MethodFile, names, open_method
from mulde.kge.training.presets import PresetName, chosen_method, defaults
from mulde.kge.training.result import Result
from mulde.kge.training.tuning import search as searching
from mulde.kge.training.tuning.result import Tuned
from mulde.prediction import explain, graph_called, load, predict
from mulde.run_folders import locked_run, waiting
from mulde.ultra.checkpoint import path_of
from mulde.ultra.teacher import open_baseline

__all__ = [
    "Progress", "Result", "Tuned", "discover", "distil", "evaluate", "explain", "load", "predict", "run", "train",
    "tune",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])

Graph = TripleSet | str | Path | Any
"""A graph, a name of `mulde list data`, the path of a folder or file, or triples as for `kge_data.from_triples`."""


def _showing(*configs: Callable[[], type[Any]]) -> Callable[[F], F]:
    """Show the options of dataclasses, with their defaults, in the signature of a function that takes keywords."""

    def decorated(function: F) -> F:
        own = inspect.signature(function)
        kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        found: dict[str, inspect.Parameter] = {}
        for config in (make() for make in configs):
            values = defaults_of(config)
            for name, hint in hints_of(config).items():
                if name not in own.parameters and name not in ("junior", "teacher"):
                    shown = reduce(or_, alternatives(hint))
                    new = inspect.Parameter(
                        name, inspect.Parameter.KEYWORD_ONLY, default=values[name], annotation=shown
                    )
                    found.setdefault(name, new)
        function.__signature__ = own.replace(parameters=[*kept, *found.values()])  # type: ignore[attr-defined]
        return function

    return decorated


def _method_configs() -> list[Callable[[], type[Any]]]:
    return [lambda name=name: open_method(name).Config for name in names()]  # type: ignore[misc]


@_showing(lambda: supervised.Config)
def train(
    scorer: str | type[Scorer],
    graph: Graph,
    *,
    folder: Path | str | None = None,
    preset: PresetName = "recommended",
    threads: int | None = None,
    wait: bool = False,
    progress: Callable[[Progress], object] = silent,
    **options: Unpack[TrainOptions],
) -> KGEModel:
    """Train a scorer on hard labels and return the model of the best evaluation.

    Parameters
    ----------
    scorer
        A name of `mulde list scorers`, or a class of your own.
    graph
        A graph, its name, a path, or triples in a DataFrame, an array or a list.
    folder
        Run folder with model, log and checkpoints; the same call again continues or reuses what is there. None writes
        nothing.
    preset
        Values of the options that are not given.
    threads
        Processor threads. None: one for a graph with fewer than 10,000 entities, where more are not faster, otherwise
        as many as torch has. The number from before the call is restored.
    wait
        If another process writes into the folder, wait until it has ended instead of raising an error.
    progress
        Receives messages.
    **options
        Options of `mulde train`.

    Raises
    ------
    UsageError
        For an unknown scorer or option, or an impossible value.
    """
    triples, source = _graph(graph)
    main_job.refuse_missing_splits(triples, source, ("train", "valid"))
    config = _configured(supervised.Config, preset, triples, options)
    place = None if folder is None else Path(folder)
    with threads_for(triples, threads), locked_run(place, waiting(wait, progress)):
        return stage.train(scorer, triples, config, place, source=source, progress=progress).model


@_showing(*_method_configs())
def distil(
    scorer: str | type[Scorer],
    teachers: Sequence[nn.Module | Path | str] | nn.Module | Path | str,
    graph: Graph,
    *,
    method: str | Path | None = None,
    folder: Path | str | None = None,
    preset: PresetName = "recommended",
    threads: int | None = None,
    wait: bool = False,
    progress: Callable[[Progress], object] = silent,
    **options: Unpack[DistilOptions],
) -> KGEModel:
    """Distil teachers into a Junior and return it.

    Parameters
    ----------
    scorer
        Scorer of the Junior, a name of `mulde list scorers` or a class of your own.
    teachers
        One or several: run folders, bundles, names of `mulde list models`, ``ultra:PATH`` for a checkpoint of ULTRA, or
        models, which are not changed (PyKEEN's: `mulde.pykeen.open_teacher`).
    graph
        A graph, its name, a path, or triples in a DataFrame, an array or a list.
    method
        A name of `mulde list methods`, or the path of a Python file of yours; None: that of the preset, or mulde.
    folder, preset, threads, wait, progress
        As for :func:`train`.
    **options
        Options of `mulde distil` with this method.

    Raises
    ------
    UsageError
        For an unknown scorer, method or option, an impossible value, or teachers of another graph.
    """
    triples, source = _graph(graph)
    main_job.refuse_missing_splits(triples, source, ("train", "valid"))
    file = _method(method, preset, triples)
    config = _configured(file.Config, preset, triples, options)
    several = _several(teachers)
    place = None if folder is None else Path(folder)
    with threads_for(triples, threads), locked_run(place, waiting(wait, progress)):
        return stage.distil(
            scorer, several, triples, config, place, method=file, source=source, progress=progress
        ).model


@_showing(lambda: supervised.Config, *_method_configs(), lambda: Teachers)
def run(
    data: Graph,
    *,
    teachers: Sequence[str] | str | None = None,
    junior: str | None = None,
    method: str | Path | None = None,
    preset: PresetName = "recommended",
    folder: Path | str | None = None,
    threads: int | None = None,
    wait: bool = False,
    progress: Callable[[Progress], object] = silent,
    **options: Unpack[RunOptions],
) -> Result:
    """Train teachers and a baseline, distil the teachers into a Junior, and evaluate all on the test split.

    The same call again continues an interrupted run and reuses what is finished.

    Parameters
    ----------
    data
        A graph, its name, a path, or triples in a DataFrame, an array or a list.
    teachers
        Scorers of the teachers, or one; None: those of the preset, or roth and refh.
    junior
        Scorer of the Junior; None: that of the preset, or roth.
    method
        A name of `mulde list methods`, or the path of a Python file of yours; None: that of the preset, or mulde.
    preset
        Values of the options that are not given.
    folder
        Run folder. None: ``runs/GRAPH/JUNIOR-DIM-hash``, with the teachers in ``runs/GRAPH/teachers``, where other runs
        find them.
    threads, wait
        As for :func:`train`.
    progress
        Receives messages: the stage, its fraction that is done, validation metrics. An exception ends the run.
    **options
        Options of `mulde run` with this method; ``budget`` is the time for everything.

    Returns
    -------
    Result
        Models, metrics (``to_pandas()``) and folder.

    Raises
    ------
    UsageError
        For an unknown scorer, method or option, an impossible value, or a folder that holds another run.
    """
    graph, source = _graph(data)
    given: dict[str, Any] = {**options}
    given |= {} if teachers is None else {"teacher": (teachers,) if isinstance(teachers, str) else tuple(teachers)}
    given |= {} if junior is None else {"junior": junior}
    file = _method(method, preset, graph)
    kinds = (Teachers, supervised.Config, file.Config)
    values = _values(kinds, preset, graph, given)
    parts = [_part(kind, values) for kind in kinds]
    place = None if folder is None else Path(folder)
    with threads_for(graph, threads):
        return main_job.run(graph, *parts, method=file, folder=place, source=source, wait=wait, progress=progress)


@_showing(lambda: supervised.Config, *_method_configs())
def tune(
    scorer: str | type[Scorer],
    graph: Graph,
    teachers: Sequence[nn.Module | Path | str] | nn.Module | Path | str = (),
    *,
    method: str | Path | None = None,
    search: Mapping[str, str | Sequence[Any]] | None = None,
    trials: int = 20,
    trial_budget: float | str | None = None,
    prune: bool = True,
    folder: Path | str | None = None,
    preset: PresetName = "recommended",
    threads: int | None = None,
    wait: bool = False,
    progress: Callable[[Progress], object] = silent,
    **options: Unpack[TuneOptions],
) -> Tuned:
    """Search options of a training, or of a distillation, by validation MRR; the test split is not used.

    The first trial has the values of the preset. The same call again continues a search; ``trials`` and ``budget`` may
    grow.

    Parameters
    ----------
    scorer
        A name of `mulde list scorers`, or a class of your own.
    graph
        A graph, its name, a path, or triples in a DataFrame, an array or a list.
    teachers
        For a distillation, as for :func:`distil`. None: a training on hard labels.
    method
        A name of `mulde list methods`, or the path of a Python file of yours; with teachers that of the preset, or
        mulde, by default.
    search
        Options to search in addition, or between other values: ``{"lr": "1e-4:1e-1:log", "dim": [16, 32]}``.
    trials
        Number of trials, those of earlier calls among them.
    trial_budget
        Limit of the time of each trial. None: ``budget`` divided by ``trials``.
    prune
        Stop a trial early if it is worse than the median of the others.
    folder
        Folder of the search. None: ``runs/GRAPH/tune-METHOD-SCORER-DIM``.
    preset, threads, wait, progress
        As for :func:`train`.
    **options
        Options of `mulde train` or `mulde distil`, which are then not searched; ``budget`` is the time for all trials.

    Returns
    -------
    Tuned
        The trials (``to_pandas()``), the best one, its settings, and the folder.

    Raises
    ------
    UsageError
        For an unknown scorer, method or option, an impossible value, or a folder that holds another search.
    """
    triples, source = _graph(graph)
    several = _several(teachers)
    if several and method is None:
        method = chosen_method({"preset": preset, "data": triples.name})
    config = _configured(supervised.Config if method is None else open_method(method).Config, preset, triples, options)
    with threads_for(triples, threads):
        return searching.tune(
            scorer, triples, config,
            method=method, teachers=several, folder=None if folder is None else Path(folder), given=options.keys(),
            search=search or {}, trials=trials, trial_budget=typed(trial_budget, Duration | None, "trial_budget"),
            prune=prune, source=source, settings={"preset": preset}, wait=wait, progress=progress,
        )  # fmt: skip


def evaluate(
    model: Ranker | Path | str,
    graph: Graph | None = None,
    split: str = "test",
    known: KnownAnswers | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    embeddings_only: bool = False,
    protocol: str = "strict",
    threads: int | None = None,
) -> LinkPrediction:
    """Filtered link prediction on a split of a graph.

    Parameters
    ----------
    model
        A model, or anything that scores all entities; or a run folder, a bundle, a name of `mulde list models`, or
        ``ultra:PATH`` for a checkpoint of ULTRA. A model computes on the device that it is on.
    graph
        A graph, its name, or a path. None: the one the model was trained on; a model in memory needs it.
    split
        "train", "valid" or "test".
    known
        Filter, where several evaluations share it.
    sample
        Rank so many triples, drawn by ``seed``, instead of all.
    seed
        Seed of the sample.
    embeddings_only
        Without self-loop masking and graph prior.
    protocol
        Rules of the ranking, to state a model as published work does; `mulde evaluate MODEL --protocol all` lists all.
        Those other than "strict" rank by embeddings only.
    threads
        As for :func:`train`.

    Raises
    ------
    UsageError
        For an unknown or empty split, an unknown protocol, or a model of another graph.
    """
    triples = _graph_of(model, graph)
    ranker = _ranker(model, triples, split) if isinstance(model, Path | str) else model
    with threads_for(triples, threads):
        return link_prediction.evaluate(
            ranker, triples, split, known, sample=sample, seed=seed, embeddings_only=embeddings_only, protocol=protocol
        )


def _ranker(model: Path | str, graph: TripleSet, split: str) -> Ranker:
    """A model from disk, or ULTRA, to be evaluated on a split."""
    checkpoint = path_of(model)
    return _opened(model, graph) if checkpoint is None else open_baseline(checkpoint, graph, split)


def _opened(model: Path | str, graph: TripleSet) -> KGEModel:
    """A model from disk, on the GPU where there is one."""
    return open_model(model, graph).to(resolved("auto"))


def discover(
    model: KGEModel | Path | str,
    graph: Graph | None = None,
    *,
    relations: Sequence[str] | str | None = None,
    top: int = 1_000,
    per_relation: int | None = None,
    candidates: Kind = "observed",
    known: missing_facts.KnownIn = "all",
    graph_prior: bool = True,
    heads: Listed | None = None,
    tails: Listed | None = None,
    threads: int | None = None,
    progress: bool | None = False,
) -> Facts:
    """The likeliest missing facts of a graph, over all relations or some, in bounded memory.

    Parameters
    ----------
    model
        A model of this graph; or a run folder, a bundle, or a name of `mulde list models`.
    graph
        A graph, its name, or a path. None: the one the model was trained on; a model in memory needs it.
    relations
        One or several relations, by identifier or readable name; None: all.
    top
        Number of facts.
    per_relation
        Largest number of facts of one relation.
    candidates
        Pairs that are searched. "observed": in train, the head is a head of the relation and the tail is a tail of it.
        "either": at least one of the two holds. "all": all pairs of entities.
    known
        Triples that are left out: those of "all" splits, or of "train" only.
    graph_prior
        Whether scores contain the model's graph prior.
    heads, tails
        Entities that heads and tails are limited to: names, or the path of a file with one name per line. None: all.
    threads
        As for :func:`train`.
    progress
        Whether to show a progress bar; None: if the error stream is a terminal.

    Returns
    -------
    Facts
        The likeliest first, with score and probability; prints as a table, ``to_pandas()``, ``write(path)``. The
        probability is explained in `mulde.kge.inference.discover`.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        For an unknown or ambiguous relation.
    UsageError
        If a number is less than 1, or the model is of another graph.
    """
    triples = _graph_of(model, graph)
    opened = _opened(model, triples) if isinstance(model, Path | str) else model
    with threads_for(triples, threads):
        return missing_facts.discover(
            opened,
            triples,
            relations=[relations] if isinstance(relations, str) else relations,
            top=top,
            per_relation=per_relation,
            candidates=candidates,
            known=known,
            graph_prior=graph_prior,
            heads=entities_of(triples, heads),
            tails=entities_of(triples, tails),
            progress=progress,
        )


def _graph_of(model: Any, graph: Graph | None) -> TripleSet:
    """The graph that is given, otherwise the one that a model on disk was trained on."""
    if graph is not None:
        return graph_called(graph)
    if not isinstance(model, Path | str) or path_of(model) is not None:
        raise UsageError("a model in memory, or ULTRA, needs its graph; give the graph, its name or its path")
    return graph_of(model)


def _graph(data: Graph) -> tuple[TripleSet, str]:
    """The graph, and what it was loaded by; empty for one in memory."""
    return graph_called(data), "" if isinstance(data, TripleSet) else str(data)


def _method(method: str | Path | None, preset: str, graph: TripleSet) -> MethodFile:
    """The method that is given, or that of the preset."""
    return open_method(chosen_method({"method": method, "preset": preset, "data": graph.name}))


def _several(teachers: Any) -> Sequence[nn.Module | Path | str]:
    """Teachers as a sequence, also a single one."""
    several: Sequence[Any] = [teachers] if isinstance(teachers, nn.Module | Path | str) else teachers
    if not isinstance(several, Sequence) or not all(isinstance(each, nn.Module | Path | str) for each in several):
        raise UsageError(f"teachers should be models, paths or names; got {teachers!r}")
    return several


def _configured(kind: type[Any], preset: str, graph: TripleSet, options: Mapping[str, Any]) -> Any:
    return _part(kind, _values((kind,), preset, graph, options))


def _values(kinds: Sequence[type[Any]], preset: str, graph: TripleSet, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, with those of the preset. Raises UsageError for an unknown one."""
    known = frozenset(name for kind in kinds for name in hints_of(kind))
    for name in options:
        if name not in known:
            raise unknown("option", name, known, "mulde distil --help-all")
    return {**defaults({"preset": preset, "data": graph.name}, known), **options}


def _part(kind: type[Any], values: Mapping[str, Any]) -> Any:
    names = hints_of(kind)
    return from_dict(kind, {name: value for name, value in values.items() if name in names}, "options")
