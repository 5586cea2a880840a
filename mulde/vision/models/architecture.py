"""Architectures: the arguments that a network was made from, as plain values for a JSON file.

    network("resnet20", 10)  ─▶  {"made_by": "network", "name": "resnet20", "classes": 10, ...}

Our networks record them in their attribute ``architecture`` when they are made; `rebuilding` makes them again. A
network of the user's has only a name.
"""

from __future__ import annotations

from typing import Any

from torch import nn

OWN = "own"
"""``made_by`` of a network that cannot be made again from its description."""
LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.BatchNorm1d: ("num_features", "eps"),
    nn.ReLU: (),
    nn.Identity: (),
}
"""Layers of projections, and the arguments that they keep as attributes."""


def made_by(maker: str, **arguments: Any) -> dict[str, Any]:
    """The architecture of a network that is being made; modules among the arguments are described."""
    described = {
        name: architecture_of(value) if isinstance(value, nn.Module) else value for name, value in arguments.items()
    }
    return {"made_by": maker, **described}


def architecture_of(module: nn.Module) -> dict[str, Any]:
    """The architecture of a network or layer; of others, the name of their class.

    A network whose classifier was removed after it was made has ``"classifier_removed": True``.
    """
    if isinstance(module, nn.Linear):
        return made_by("Linear", bias=module.bias is not None, **_kept(module, nn.Linear))
    if type(module) in LAYERS:
        return made_by(type(module).__name__, **_kept(module, type(module)))
    if isinstance(module, nn.Sequential):
        layers = [architecture_of(layer) for layer in module]
        return own(module) if OWN in {layer["made_by"] for layer in layers} else made_by("Sequential", layers=layers)
    recorded = getattr(module, "architecture", None)
    if not isinstance(recorded, dict):
        return own(module)
    removed = recorded["made_by"] == "network" and isinstance(getattr(module, "classifier", None), nn.Identity)
    return {**recorded, **({"classifier_removed": True} if removed else {})}


def own(module: nn.Module) -> dict[str, Any]:
    """The architecture of a network of the user's: the name of its class."""
    return {"made_by": OWN, "name": f"{type(module).__module__}.{type(module).__qualname__}"}


def _kept(module: nn.Module, kind: type[nn.Module]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in LAYERS[kind]}
