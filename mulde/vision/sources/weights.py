"""Weights for a network of ours: `resnet56:weights.th`, a state dict saved by torch, or a safetensors file.

Names of layers are those of `mulde.vision.models`, or those of widely used code for residual and wide residual networks
(torchvision; ResNets for CIFAR-10 with shortcuts of option A or B; mdistiller). Files are opened without unpickling.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.files import user_path
from mulde.vision.models import network
from mulde.vision.models.networks import plan
from mulde.vision.sources._source import Source, Specification, Wanted

INSIDE = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys below which a checkpoint may have its state dict."""
PREFIX = re.compile(r"^(module\.|_orig_mod\.|model\.|network\.)+")
"""Prefixes that wrappers put before all names."""
BLOCK = r"(?:layer|stages\.|block)(?P<stage>\d+)\.(?:layer\.)?(?P<block>\d+)\."
LAYERS = {
    "conv1": "first", "bn1": "first_norm", "conv2": "second", "bn2": "second_norm", "conv3": "third",
    "bn3": "third_norm", "downsample": "shortcut", "convShortcut": "shortcut", "shortcut": "shortcut",
}  # fmt: skip
"""Layers of a block in other code -> here."""
FIRST = ("stem.0.weight", "stem.weight", "stages.0.0.conv.weight")
"""First convolutions of networks for images of any size; they tell channels and width."""
SHOWN = 3


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """A network of ours with the weights of a file, for the classes and channels that they are for.

    Raises
    ------
    UsageError
        If the file is no state dict, or one of another network.
    """
    name, path = spec.place.partition(":")[0], existing(spec)
    tensors = {PREFIX.sub("", key): value for key, value in state_dict(path).items()}
    net, renamed = fitting(name, tensors, wanted)
    _refuse_others(name, net, renamed, path)
    own = net.state_dict()
    net.load_state_dict({key: renamed[key] if key in renamed else own[key] for key in own})
    return Source(net)


def existing(spec: Specification) -> Path:
    """The file. Raises UsageError if there is none."""
    name, _, rest = spec.place.partition(":")
    path = user_path(rest)
    if not path.is_file():
        raise UsageError(f"{spec.place}: {path} does not exist; expected a file with the weights of {name}")
    return path


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises UsageError where it has none or needs unpickling."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of pickle's protocols
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, SafetensorError, LookupError) as error:
        raise UsageError(
            f"{path}: expected a state dict that opens without unpickling, got {type(error).__name__}; "
            "save it again with torch.save(network.state_dict(), PATH)"
        ) from error
    while isinstance(found, Mapping) and not _tensors(found):
        inside = next((key for key in INSIDE if isinstance(found.get(key), Mapping)), None)
        if inside is None:
            break
        found = found[inside]
    if not isinstance(found, Mapping) or not _tensors(found):
        raise UsageError(f"{path}: expected a state dict, found {type(found).__name__} without tensors")
    return _tensors(found)


def fitting(name: str, tensors: Mapping[str, Tensor], wanted: Wanted) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network of this name for the sizes of some weights, and these under the network's names."""
    sizes: dict[str, Any] = {"size": wanted.input.size and wanted.input.size[-1]}
    with torch.device("meta"):  # for its names only
        probe = network(name, len(wanted.classes), wanted.input.channels or 3, **sizes)
    preactivated = "stem.weight" in probe.state_dict()
    renamed = {renamed_key(key, preactivated): value for key, value in tensors.items()}
    if "classifier.weight" in renamed and "classifier.bias" not in renamed:
        sizes["cosine"] = True
    first = next((renamed[key] for key in FIRST if key in renamed and renamed[key].ndim == 4), None)
    channels = wanted.input.channels or 3 if first is None else first.shape[1]
    if first is not None and name.startswith(("resnet", "wrn")):
        sizes["channels"] = max(1, 16 * len(first) // plan(name)[2])
    if name.startswith("resnet") and not any(".shortcut." in key for key in renamed):
        name = name.removesuffix("-padded") + "-padded"
    classes = len(renamed["classifier.weight"]) if "classifier.weight" in renamed else len(wanted.classes)
    return network(name, classes, channels, **sizes), renamed


def renamed_key(key: str, preactivated: bool = False) -> str:
    """The name of a tensor here, by its name in other code.

    Parameters
    ----------
    preactivated
        Whether the network is a wide residual one, whose first normalisation comes after its stages.
    """
    if match := re.match(BLOCK, key):
        layer, dot, rest = key[match.end() :].partition(".")
        stage = int(match["stage"]) - (not key.startswith("stages."))
        return f"stages.{stage}.{match['block']}.{LAYERS.get(layer, layer)}{dot}{rest}"
    layer, dot, rest = key.partition(".")
    stem, norm = ("stem", "last.0") if preactivated else ("stem.0", "stem.1")
    return {"conv1": stem, "bn1": norm, "fc": "classifier", "linear": "classifier"}.get(layer, layer) + dot + rest


def _refuse_others(name: str, net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    counters = {key for key in net.state_dict() if key.endswith("num_batches_tracked")}
    expected = {key: value.shape for key, value in net.state_dict().items()}
    absent = sorted(expected.keys() - tensors.keys() - counters)
    others = sorted(key for key in tensors.keys() - expected.keys() if not key.endswith("num_batches_tracked"))
    shapes = [
        f"{key} {list(tensors[key].shape)} for {list(expected[key])}"
        for key in expected.keys() & tensors.keys()
        if tensors[key].shape != expected[key]
    ]
    said = [
        f"{what} {', '.join(keys[:SHOWN])}{f' and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''}"
        for what, keys in (("without", absent), ("with unknown", others), ("with other shapes:", sorted(shapes)))
        if keys
    ]
    if said:
        raise UsageError(f"{path}: not the weights of {name}: {'; '.join(said)}; name another network")


def _tensors(found: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}
