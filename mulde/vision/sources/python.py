"""A network of the user's in Python: `my_models.py:teacher` or `package.module:teacher`.

The object is a module, a function or class that makes one (without arguments, or with some of classes, channels and
size), or a function of images (b, channels, h, w) that returns logits (b, k), which cannot learn. A module may have
attributes `mean`, `std`, `size` and `classes`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.files import sha256_of
from mulde.user_code import named
from mulde.vision.models.adapted import Adapted
from mulde.vision.models.own_input import Input
from mulde.vision.sources._source import Source, Specification, Wanted


class Function(nn.Module):
    """A function of images that returns logits, as a module without parameters.

    Parameters
    ----------
    function
        Images (b, channels, h, w) -> logits (b, k).
    checksum
        SHA-256 of what the function computes with, so that a training with another one is not continued.
    """

    def __init__(self, function: Callable[[Tensor], Any], checksum: bytes) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("checksum", torch.frombuffer(bytearray(checksum), dtype=torch.uint8))

    def forward(self, images: Tensor) -> Any:
        """images: (b, channels, h, w)."""
        return self.function(images)


def existing(spec: Specification) -> Path | None:
    """The file that is named, or None for a module. Raises UsageError if there is no such file."""
    place = spec.place.rpartition(":")[0]
    path = Path(place) if place.endswith(".py") else None
    if path is not None and not path.is_file():
        raise UsageError(f"{spec.place}: {place} does not exist")
    return path


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """The network that an object of the user's is or makes.

    Raises
    ------
    UsageError
        If the object is neither a network nor a function, or a function without weights is to learn.
    """
    found, file = named(spec.place)
    if not isinstance(found, nn.Module):
        found = _made(found, file, spec, wanted)
    if isinstance(found, Function) and not wanted.trained:
        raise UsageError(
            f"{wanted.role}: {spec.place} is a function of images, and has nothing that learns; give an nn.Module"
        )
    return source_of(found)


def source_of(module: nn.Module) -> Source:
    """A module with the input and the names of classes that its attributes tell, or those of the module it adapts."""
    about = module.module if isinstance(module, Adapted) else module
    names = getattr(about, "classes", None)
    return Source(module, input_of(about), tuple(map(str, names)) if isinstance(names, list | tuple) else ())


def input_of(module: nn.Module) -> Input:
    """Images as a module takes them, from its attributes `mean`, `std` and `size`; values of one channel or of all."""
    mean, deviation, size = (_numbers(getattr(module, name, None)) for name in ("mean", "std", "size"))
    sides = None if size is None else (int(size[0]), int(size[-1]))
    return Input(None, sides, mean, deviation) if mean and deviation else Input(None, sides)


def _made(found: Any, file: Path | None, spec: Specification, wanted: Wanted) -> nn.Module:
    if not callable(found):
        raise UsageError(f"{spec.place}: expected an nn.Module or a function, got {type(found).__name__}")
    sizes = {"classes": len(wanted.classes), "channels": wanted.input.channels, "size": wanted.input.size}
    parameters = inspect.signature(found).parameters.values()
    needed = {each.name for each in parameters if each.default is each.empty and each.kind not in (2, 4)}
    if not needed <= sizes.keys():
        if isinstance(found, type) or len(needed) != 1:
            raise UsageError(
                f"{spec.place}: expected a function of images, or one that makes a network from classes, channels and "
                f"size; it asks for {', '.join(sorted(needed))}"
            )
        return Function(found, bytes.fromhex(sha256_of(file)) if file else b"0")
    try:
        made = found(**{each.name: sizes[each.name] for each in parameters if each.name in sizes})
    except Exception as error:
        raise UsageError(f"{spec.place} ended in {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise UsageError(f"{spec.place}: expected a function that makes an nn.Module, got {type(made).__name__}")
    return made


def _numbers(value: Any) -> tuple[float, ...] | None:
    if value is None or callable(value) or isinstance(value, str):
        return None
    values = torch.as_tensor(value, dtype=torch.float32).flatten().tolist()
    return tuple(map(float, values)) or None
