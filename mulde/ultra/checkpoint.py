"""Opening a checkpoint of ULTRA. Only tensors are read; nothing is unpickled that could run."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.ultra.network import Ultra

PREFIX = "ultra:"
LAYER = re.compile(r"(relation|entity)_model\.layers\.(\d+)\.")


def path_of(place: Path | str) -> Path | None:
    """The path in ``ultra:PATH``; None for anything else."""
    text = str(place)
    return Path(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None


def open_ultra(path: Path | str) -> Ultra:
    """The network in a checkpoint file, in evaluation mode.

    Parameters
    ----------
    path
        A file like ``ultra_3g.pth``: a dictionary with the tensors under "model", or the tensors themselves.

    Raises
    ------
    UsageError
        If the file is missing or damaged, or has other tensors than ULTRA with summed DistMult messages.
    """
    path = Path(path)
    tensors = _tensors(path)
    dim = len(tensors["entity_model.layers.0.linear.bias"]) if "entity_model.layers.0.linear.bias" in tensors else 0
    depth = {"relation": 0, "entity": 0}
    for found in filter(None, map(LAYER.match, tensors)):
        depth[found[1]] = max(depth[found[1]], int(found[2]) + 1)
    if not (0 < dim <= 4096 and all(0 < each <= 64 for each in depth.values())):
        raise UsageError(
            f"{path}: expected a checkpoint of ULTRA, with layers of a relation and an entity model; found "
            f"{len(tensors):,} other tensors; give a file like ultra_3g.pth"
        )
    network = Ultra(dim, depth["relation"], depth["entity"])
    expected = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    shapes = {name: tuple(each.shape) for name, each in tensors.items()}
    different = sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name))
    if different:
        name = different[0]
        raise UsageError(
            f"{path}: expected {name} with shape {expected.get(name, 'none')}, found {shapes.get(name, 'none')}; only "
            "checkpoints of ULTRA with summed DistMult messages can be opened"
        )
    if not all(bool(torch.isfinite(each).all()) for each in tensors.values()):
        raise UsageError(f"{path}: expected finite numbers, found NaN or infinity; the file is damaged")
    network.load_state_dict(tensors)
    return network.float().eval().requires_grad_(False)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(f"{path}: expected a checkpoint of ULTRA, found no such file; give the path of ultra_3g.pth")
    try:
        with warnings.catch_warnings():  # about files that are refused
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError, OSError) as error:
        raise UsageError(
            f"{path}: expected a file that torch saved, with tensors only; found another or damaged one; give a "
            "checkpoint like ultra_3g.pth"
        ) from error
    content = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(each, Tensor) for each in content.values()):
        raise UsageError(f"{path}: expected a dictionary of tensors, found {type(content).__name__}")
    return content
