"""Stages of the main job: train a model on hard labels, or distil teachers into a Junior.

A stage leaves a run folder: ``fit/`` as the engine writes it (config.json, log.jsonl, checkpoints), and the model. The
same call again continues an interrupted stage and reuses a finished one. Other settings are refused, with the
differences.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.engine import Record, Role, Trained
from mulde.engine.checkpoint import ConfigurationChanged
from mulde.engine.progress import Report, silent
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.kge.evaluation.graph_prior_fit import fit_graph_prior
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.run_folder import save_model, scorer_name
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.opening import open_teacher
from mulde.kge.training import supervised
from mulde.kge.training.fit import Session
from mulde.kge.training.method_file import SUPERVISED, MethodFile, new_model, open_method, source_of


@dataclass(frozen=True)
class Outcome:
    """Result of a stage."""

    folder: Path | None
    """Run folder; None where nothing was written."""
    model: KGEModel
    """The trained model."""
    record: Record
    """Record of its training."""
    networks: Mapping[str, nn.Module]
    """Other networks of the method, by name, for example MulDE's Senior."""


def train(
    scorer: str | type[Scorer],
    graph: TripleSet,
    config: supervised.Config,
    folder: Path | None,
    *,
    source: str = "",
    known: KnownAnswers | None = None,
    bar: bool | None = None,
    progress: Report = silent,
    stage: str = "",
) -> Outcome:
    """Train a scorer on hard labels: a teacher, or the Junior without distillation.

    Parameters
    ----------
    scorer
        A name of `mulde list scorers`, or a class.
    graph
        The data.
    config
        Options.
    folder
        Run folder; None writes nothing.
    source
        Name or path that the graph was loaded by, to tell later whether it has changed; empty for one in memory.
    known
        Filter of the evaluation, where it is shared.
    bar
        Show a progress bar; None: in terminals and notebooks only.
    progress
        Receives messages.
    stage
        Name of the stage in messages.

    Raises
    ------
    UsageError
        For an unknown scorer, options that do not go together, or a folder that holds a run with other settings.
    """
    model = new_model(scorer, config, graph)
    identity = {"stage": "train", **of_scorer(model.scorer)}
    session = Session(
        graph, model, known or known_answers(graph), stage or f"train {identity['scorer']}", identity,
        config.training.seed, folder, bar, progress,
    )  # fmt: skip
    return _carried_out(SUPERVISED, config, session, {"student": model}, source)


def distil(
    scorer: str | type[Scorer] | None,
    teachers: Sequence[Path | str | nn.Module],
    graph: TripleSet,
    config: Any,
    folder: Path | None,
    *,
    method: str | Path | MethodFile = "mulde",
    source: str = "",
    known: KnownAnswers | None = None,
    bar: bool | None = None,
    progress: Report = silent,
    stage: str = "",
) -> Outcome:
    """Distil teachers into a Junior.

    Parameters
    ----------
    scorer
        Scorer of the Junior, a name or a class; None: the one in ``config``.
    teachers
        Run folders, bundles, names of `mulde list models`, or models, which are copied.
    config
        Config of the method.
    method
        A name of `mulde list methods`, or the path of a Python file.

    Other parameters, and exceptions, as for :func:`train`.
    """
    file = method if isinstance(method, MethodFile) else open_method(method)
    if not isinstance(config, file.Config):
        raise UsageError(f"method {file.name} takes its own Config; got {type(config).__module__}.Config")
    _refuse_other_number(file, teachers)
    refuse_twice(teachers)
    given: dict[str, nn.Module] = {}
    if teachers:
        given["teacher"] = Ensemble([
            copy.deepcopy(teacher) if isinstance(teacher, nn.Module) else open_teacher(teacher, graph)
            for teacher in teachers
        ])  # fmt: skip
    if isinstance(scorer, str):
        config = replace(config, junior=scorer)
    elif scorer is not None:
        config = replace(config, junior=scorer_name(scorer))
        given["student"] = new_model(scorer, config, graph)
    networks = file.networks(config, graph, given)
    student = networks["student"]
    if not isinstance(student, KGEModel):
        raise UsageError(f"the student of {file.name} should be a KGEModel; got {type(student).__name__}")
    identity = {
        "stage": "distil",
        "method": file.name,
        **({} if file.source is None else {"method_source": file.source}),
        **of_scorer(student.scorer),
        "teachers": [fingerprint(teacher) for teacher in given["teacher"].teachers] if teachers else [],  # type: ignore
    }
    session = Session(
        graph, student, known or known_answers(graph), stage or f"distil {identity['scorer']}", identity,
        config.training.seed, folder, bar, progress,
    )  # fmt: skip
    return _carried_out(file, config, session, networks, source)


def _carried_out(
    file: MethodFile, config: Any, session: Session, networks: Mapping[str, nn.Module], source: str
) -> Outcome:
    """Run a method, fit the graph prior of its student, and save the trained networks."""
    graph, folder = session.graph, session.folder
    try:
        trained: Trained = file.run(config, graph, session, networks)
    except ConfigurationChanged as error:
        raise error.of_run(folder) from error
    model = trained.student
    if not isinstance(model, KGEModel) or trained.record is None:
        raise UsageError(f"method {file.name} should return a trained KGEModel with its record")
    if model.config.graph_prior:
        model.set_graph_prior(fit_graph_prior(model, graph, session.known))
    if folder is not None:
        save_model(folder, model, graph, source)
        kept: list[Any] = [network for network in trained.networks.values() if hasattr(network, "save")]
        for network in kept:
            network.save(folder)
    if trained.record.reused:
        session.report(f"  finished before and reused: {folder}")
    return Outcome(folder, model, trained.record, trained.networks)


def refuse_twice(teachers: Sequence[Path | str | nn.Module]) -> None:
    """Raises UsageError where the same teacher is given twice, by equal paths or as the same model."""
    same = [str(id(it)) if isinstance(it, nn.Module) else str(Path(it).resolve()) for it in teachers]
    for place, teacher in enumerate(teachers):
        if same[place] in same[:place]:
            called = type(teacher).__name__ if isinstance(teacher, nn.Module) else teacher
            raise UsageError(
                f"{called} is given twice as a teacher, and would count twice; train another one with another seed, or "
                "name it once"
            )


def _refuse_other_number(file: MethodFile, teachers: Sequence[Any]) -> None:
    role = file.needs.roles.get("teacher", Role("scores", least=0, most=0))
    if len(teachers) < role.least or (role.most is not None and len(teachers) > role.most):
        wanted = f"at least {role.least}" if role.most is None else f"{role.least} to {role.most}"
        raise UsageError(f"method {file.name} needs {wanted} teachers; got {len(teachers)}")


def of_scorer(kind: type[Scorer]) -> dict[str, Any]:
    """A scorer in the settings of a run: its name and, for a class of the user's, a checksum of its source."""
    own = {} if kind.__module__.startswith("mulde.kge.scorers.") else {"scorer_source": source_of(kind)}
    return {"scorer": scorer_name(kind), **own}
