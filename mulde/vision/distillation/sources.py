"""Networks of a method that its options name: new ones by architecture, others from their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from torch import nn

from mulde.engine.protocol import Needs
from mulde.errors import UsageError
from mulde.vision.data.images import Split
from mulde.vision.models.initial import TEACHERS
from mulde.vision.models.own_input import Input
from mulde.vision.sources import check_place, open_network, specification
from mulde.vision.sources.python import source_of


def named(method: ModuleType, config: Any, data: Split[Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Networks by role that the method does not make itself; roles with new networks are left out.

    Parameters
    ----------
    method
        The module of a method file. An option with the name of a role holds a specification of
        `mulde.vision.sources`, or several.
    config
        Its options.
    data
        Images, standardised as the student gets them.
    report
        Receives sentences about what is assumed.

    Raises
    ------
    UsageError
        For a specification that cannot be opened, or a role with both new and other networks.
    """
    found: dict[str, Any] = {}
    for role, specs in from_elsewhere(method, config).items():
        opened = [_opened(spec, role, data, report) for spec in specs]
        found[role] = opened[0] if isinstance(getattr(config, role), str) else opened
    return found


def from_elsewhere(method: ModuleType, config: Any) -> dict[str, list[str]]:
    """Specifications by role of the networks that are not new; each is looked for, and none is opened.

    Raises
    ------
    UsageError
        For a specification of something that does not exist, or a role with both new and other networks.
    """
    needs: Needs | None = getattr(method, "NEEDS", None)
    found: dict[str, list[str]] = {}
    for role in needs.roles if needs else ():
        value = getattr(config, role, None)
        specs = [value] if isinstance(value, str) else list(value or ())
        parsed = [specification(spec) for spec in specs]
        new = [spec.kind == "new" for spec in parsed]
        if all(new):
            continue
        if any(new):
            raise UsageError(f"--{role}: got both new networks and trained ones, {', '.join(specs)}; give one kind")
        for spec in parsed:
            check_place(spec)
        found[role] = specs
    return found


def with_own_input(given: Mapping[str, Any], data: Split[Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Modules by role, of which teachers get the normalisation, size and order of classes that their attributes tell.

    Pictures that were normalised before they were given cannot be brought to another normalisation: where floating
    point is not in [0, 1], the attributes are reported and not used.
    """
    return {
        role: _told(modules, role, data, report) if role in TEACHERS else modules for role, modules in given.items()
    }


def _told(modules: Any, role: str, data: Split[Any], report: Callable[[str], None]) -> Any:
    if isinstance(modules, list | tuple):
        return [_told(each, role, data, report) for each in modules]
    if not isinstance(modules, nn.Module):
        return modules  # refused with the other networks
    found = source_of(modules)
    if found.input == Input() and not found.classes:
        return modules
    sample = data.train.pixels(slice(64))
    if data.scale is None and not 0 <= float(sample.min()) <= float(sample.max()) <= 1:
        report(
            f"{role}: mean, std, size and classes of {type(modules).__name__} are not used, because the pictures are "
            "normalised already; give them as uint8, or as floating point in [0, 1]"
        )
        return modules
    return _opened(modules, role, data, report)


def _opened(spec: str | nn.Module, role: str, data: Split[Any], report: Callable[[str], None]) -> nn.Module:
    images = data.train
    rows, columns = images.images.shape[2:]
    return open_network(
        spec, role, classes=images.classes, channels=images.channels, size=(rows, columns), scale=data.scale,
        seed=data.seed, report=report,
    )  # fmt: skip
