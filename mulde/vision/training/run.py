"""Run an image method: its own `run`, or one fit of the method that its `build` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from mulde import user_code
from mulde.engine import Clock
from mulde.engine.protocol import Needs, Task, Trained, as_setup
from mulde.errors import UsageError
from mulde.vision.models.initial import TEACHERS
from mulde.vision.training.given import prepared
from mulde.vision.training.session import Session
from mulde.vision.training.teachers import evaluate_teachers

TASKS: dict[str, Task] = {"images": "classify", "boxes": "detect", "video": "segment"}
"""Task of a method by its kind of data; a method without labels trains embeddings."""


def run_method(
    method: ModuleType, config: Any, data: Any, session: Session, given: Mapping[str, Any] | None = None
) -> Trained:
    """Train a method of any file.

    Parameters
    ----------
    method
        The module of a method file, see `mulde.engine.protocol`.
    config
        The method's `Config`.
    data
        A split of images, or a labelled video.
    session
        Where the fits are run.
    given
        Networks by role that take the place of new ones. They are copied, never changed. A module that returns logits
        is adapted; where a method reads features, give an `Adapted` module with the names of the layers. Teachers are
        evaluated on the validation part, and several where the method has one are averaged (`prepared`).

    Raises
    ------
    UsageError
        Where the file has no `build`, or a given network has no role in the method or does not fit it.
    """
    return train(method, config, data, session, networks_of(method, config, data, session, given or {}))


def networks_of(
    method: ModuleType, config: Any, data: Any, session: Session, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Networks of a method by role, before training; given teachers are evaluated. Arguments as for `run_method`."""
    if not hasattr(method, "build"):
        raise UsageError(f"{method.__file__} has no function build, which makes the method; add one")
    _refuse_unused_watermark(method, config)
    found = prepared(method, config, data, given)
    evaluate_teachers(found, data, session.report)
    made: Mapping[str, Any] = method.networks(config, data, found) if hasattr(method, "networks") else found
    needs: Needs | None = getattr(method, "NEEDS", None)
    roles = needs.roles if needs else {}
    if missing := [role for role, wanted in roles.items() if wanted.least and role not in made]:
        raise UsageError(f"the method needs a network for the role {missing[0]}; give one, --{missing[0]}")
    return made


def train(method: ModuleType, config: Any, data: Any, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train networks that `networks_of` has made, by the method's own `run` or in one fit. Arguments likewise."""
    session = replace(session, source=user_code.source_of(method))
    if hasattr(method, "run"):
        found: Trained = method.run(config, data, session, networks)
        return found
    setup = as_setup(method.build(config, data, networks))
    record = session.fit(setup, config, data=data)
    student, *others = setup.method.exported().items()
    figures = setup.method.diagnostics(Clock(record.steps, record.epochs, record.epochs, 1.0))
    return Trained(student[1], task_of(method), dict(others), record, figures)


def task_of(method: ModuleType) -> Task:
    """Task of a method's student, from `NEEDS`."""
    needs: Needs | None = getattr(method, "NEEDS", None)
    if needs is None:
        return "classify"
    return "embed" if needs.labels == "none" else TASKS[needs.data]


def _refuse_unused_watermark(method: ModuleType, config: Any) -> None:
    needs: Needs | None = getattr(method, "NEEDS", None)
    if needs is None or config.training.watermark.watermark is None:
        return
    if not any(role in TEACHERS and wanted.reads(config) == "logits" for role, wanted in needs.roles.items()):
        raise UsageError("--watermark is for methods that read the logits of a teacher, for example kd; leave it out")
