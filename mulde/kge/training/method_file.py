"""Method files of graphs: found by name in the catalogue, or by the path of the user's file."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from kge_data.tripleset import TripleSet
from mulde import catalogue, user_code
from mulde.engine import Method, Needs, Role, Session, Setup, Trained, as_setup
from mulde.errors import UsageError
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Distillation
from mulde.kge.storage.run_folder import find_scorer
from mulde.kge.training import supervised

NEEDS = Needs("graph", {"student": Role("scores"), "teacher": Role("scores", most=None)})
"""Needs of a file that does not declare any."""

PARTS = ("junior", "model", "training")
"""Fields that the Config of every method for graphs has."""

Networks = Mapping[str, nn.Module]


@dataclass(frozen=True)
class MethodFile:
    """Declarations of a method file, with defaults for missing ones."""

    name: str
    Config: type[Any]
    needs: Needs
    build: Callable[[Any, TripleSet, Networks], Setup | Method]
    networks: Callable[[Any, TripleSet, Networks], Networks]
    run: Callable[[Any, TripleSet, Session, Networks], Trained]
    place: str
    """The name, or the path of a file of the user's."""
    source: str | None = None
    """SHA-256 of a file of the user's; None for methods of the package."""


def open_method(name: str | Path) -> MethodFile:
    """The method with a name of `mulde list methods`, or in a Python file with a function `build`, which is run.

    Raises
    ------
    UsageError
        For an unknown name (with the nearest), a method for images, or a file that cannot be run.
    """
    if not str(name).endswith(".py"):
        path = catalogue.path_of("methods", str(name))
        if path not in catalogue.shelf_files(catalogue.GRAPH_METHODS):
            raise UsageError(f"{path.stem} is a method for images; methods for graphs are {', '.join(names())}")
        return method_of(catalogue.module_at(path), path.stem)
    path = Path(name)
    return _in_file(path, user_code.checksum(path) if path.is_file() else "")


@cache
def _in_file(path: Path, source: str) -> MethodFile:
    """The method in a file of the user's, which is run once for each content that it has."""
    module = user_code.method_in(path)
    try:
        inspect.signature(module.build).bind("config", "data", "networks")
    except TypeError as error:
        raise UsageError(f"build of {path} should take config, data and networks: {error}") from error
    file = method_of(module, path.name, str(path), source)
    if not is_dataclass(file.Config):
        raise UsageError(f"Config of {path} should be a dataclass")
    if missing := [part for part in PARTS if part not in {field.name for field in fields(file.Config)}]:
        raise UsageError(
            f"Config of {path} has no {', '.join(missing)}; copy these from mulde.kge.options.Distillation"
        )
    return file


def names() -> list[str]:
    """Names of the methods for graphs."""
    return [path.stem for path in catalogue.shelf_files(catalogue.GRAPH_METHODS)]


def method_of(module: ModuleType, name: str, place: str = "", source: str | None = None) -> MethodFile:
    """Declarations of a module.

    Raises
    ------
    UsageError
        If it is no method for graphs.
    """
    build, needs = module.build, getattr(module, "NEEDS", NEEDS)
    if needs.data != "graph":
        raise UsageError(f"{name} needs {needs.data}, not a graph; see `mulde list methods`")

    def run(config: Any, data: TripleSet, session: Session, networks: Networks) -> Trained:
        """One fit of what `build` returns."""
        setup = build(config, data, networks)
        if not isinstance(setup, Setup | Method):
            raise UsageError(f"build of {name} should return a mulde.Method or a Setup; got {type(setup).__name__}")
        setup = as_setup(setup)
        record = session.fit(setup, config)
        exported = dict(setup.method.exported())
        student = exported.pop("student", networks["student"])
        return Trained(student, "rank", exported, record)

    return MethodFile(
        name,
        getattr(module, "Config", Distillation),
        needs,
        build,
        getattr(module, "networks", default_networks),
        getattr(module, "run", run),
        place or name,
        source,
    )


def default_networks(config: Any, data: TripleSet, given: Networks) -> Networks:
    """The given networks, and a new student where none is given."""
    if "student" in given:
        return given
    return {**given, "student": new_model(config.junior, config, data)}


def new_model(scorer: str | type[Any], config: Any, data: TripleSet) -> KGEModel:
    """A model with initial weights.

    Parameters
    ----------
    scorer
        A name or a class; ``config``: has ``model`` and ``training``.
    """
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    model = KGEModel(kind, data.num_entities, data.num_relations, config.model, config.training.seed)
    return model.mask_self_loops(data.train)


SUPERVISED = method_of(supervised, "supervised")


def source_of(written: type) -> str | None:
    """SHA-256, its first half, of the source of a class; None at a prompt, where there is none."""
    try:
        text = inspect.getsource(written)
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:32]
