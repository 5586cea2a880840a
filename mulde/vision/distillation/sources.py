"""Networks of a method that its options name: new ones by architecture, others from their sources."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn

from mulde.engine.protocol import Needs
from mulde.errors import UsageError
from mulde.vision.data.images import Split
from mulde.vision.sources import open_network, specification


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
    needs: Needs | None = getattr(method, "NEEDS", None)
    found: dict[str, Any] = {}
    for role in needs.roles if needs else ():
        value = getattr(config, role, None)
        specs = [value] if isinstance(value, str) else list(value or ())
        others = [spec for spec in specs if specification(spec).kind != "new"]
        if not others:
            continue
        if len(others) < len(specs):
            raise UsageError(f"--{role}: got both new networks and trained ones, {', '.join(specs)}; give one kind")
        opened = [_opened(spec, role, data, report) for spec in specs]
        found[role] = opened[0] if isinstance(value, str) else opened
    return found


def _opened(spec: str, role: str, data: Split[Any], report: Callable[[str], None]) -> nn.Module:
    images = data.train
    rows, columns = images.images.shape[2:]
    return open_network(
        spec, role, classes=images.classes, channels=images.channels, size=(rows, columns), scale=data.scale,
        seed=data.seed, report=report,
    )  # fmt: skip
