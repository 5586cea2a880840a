"""Networks that are given to a method: checked against its NEEDS, adapted, and averaged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import nn

from mulde import catalogue
from mulde.engine.protocol import Needs, Output, Role
from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.adapted import OtherClasses, adapted
from mulde.vision.models.averaged import Averaged
from mulde.vision.models.initial import TEACHERS

OF_IMAGES: tuple[Output, ...] = ("logits", "pooled", "stages")
"""Outputs of networks for whole images."""


def prepared(method: ModuleType, config: Any, data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of given networks as a method reads them.

    Parameters
    ----------
    method
        The module of a method file. Without NEEDS the networks are only copied.
    config
        The method's `Config`.
    data
        A split of images, or a labelled video.
    given
        Networks by role; a list of modules where there are several. Several teachers of a method that has one are
        averaged as probabilities.

    Raises
    ------
    UsageError
        For a role that the method does not have, too few or too many networks, or a network that does not fit.
    """
    needs: Needs | None = getattr(method, "NEEDS", None)
    if needs is None:
        return copy.deepcopy(dict(given))
    if wrong := set(given) - set(needs.roles):
        raise UsageError(f'no role called "{min(wrong)}"; the method has {", ".join(needs.roles)}')
    return {role: _prepared(networks, role, needs, config, data) for role, networks in given.items()}


def _prepared(networks: Any, role: str, needs: Needs, config: Any, data: Any) -> Any:
    wanted = needs.roles[role]
    each = list(networks) if isinstance(networks, list | tuple) else [networks]
    for network in each:
        if not isinstance(network, nn.Module):
            raise UsageError(f"{role}: expected a torch module, got {type(network).__name__}; give an nn.Module")
    if isinstance(data, Split) and isinstance(data.train, ImageSet) and wanted.output in OF_IMAGES:
        each = [_fitted(network, role, needs, config, data) for network in each]
    else:
        each = copy.deepcopy(each)
    if wanted.most == 1 and len(each) > 1 and role in TEACHERS:
        each = [_fitted(Averaged(each), role, needs, config, data)]
    _refuse_number(len(each), role, wanted)
    return each[0] if wanted.most == 1 else each


def _refuse_number(count: int, role: str, wanted: Role) -> None:
    if count < wanted.least or (wanted.most is not None and count > wanted.most):
        most = "any number" if wanted.most is None else wanted.most
        raise UsageError(f"{role}: expected {wanted.least} to {most} networks, got {count}")


def _fitted(network: nn.Module, role: str, needs: Needs, config: Any, data: Split) -> nn.Module:
    """A copy of a network that returns `Features`, with the outputs that the method reads."""
    output = needs.roles[role].reads(config)
    classifies = needs.labels != "none" and role not in TEACHERS
    classes = data.classes if output == "logits" or classifies else None
    if not getattr(config, "uses_teacher", True):
        output = "logits"
        classes = classes if classifies else None
    try:
        return adapted(copy.deepcopy(network), role, output, data.train.pixels(slice(2)), classes)
    except OtherClasses as error:
        if role not in TEACHERS:
            raise
        raise OtherClasses(f"{error}; such a teacher teaches by features: {', '.join(by_features())}") from error


def by_features() -> list[str]:
    """The methods on images, with their options, that read only features of a teacher: `kd --soft rkd`."""
    found = []
    for path in catalogue.shelf_files(catalogue.IMAGE_METHODS):
        needs: Needs | None = getattr(catalogue.module_at(path), "NEEDS", None)
        for role in (needs.roles[name] for name in TEACHERS if needs is not None and name in needs.roles):
            found += [path.stem] if role.output in ("pooled", "stages") else []
            found += [f"{path.stem} --{option} {value}" for (option, value), _ in role.instead.items()]
    return found
