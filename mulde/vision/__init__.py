"""Image methods: distillation of networks for pictures, and what people do with the students."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mulde.vision.distillation.call import distil
    from mulde.vision.inference.loaded import load

_HOMES = {"distil": "mulde.vision.distillation.call", "load": "mulde.vision.inference.loaded"}
"""Public name -> the module that defines it; imported when the name is first used."""
__all__ = ["distil", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mulde.vision' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
