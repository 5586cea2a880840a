"""The student that a verb is given, opened on its device."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde.cli._output import announce
from mulde.errors import UsageError
from mulde.user_code import named

if TYPE_CHECKING:
    from torch import nn

    from mulde.vision.inference.answers import Outputs
    from mulde.vision.storage.student import Student


@contextmanager
def opened(
    place: Path, network: str | None = None, device: str = "auto", threads: int | None = None
) -> Iterator[tuple[Student, dict[str, Any], str]]:
    """A student, its ``model.json`` and its device, in a block with the threads.

    Parameters
    ----------
    place
        Run folder or bundle.
    network
        ``file.py:function`` or ``module:function`` of a network of the user's.
    """
    from mulde.engine import process
    from mulde.engine.device import resolved
    from mulde.vision.storage.description import describe
    from mulde.vision.storage.student import open_student

    process.start()
    chosen = resolved(device)
    with process.threads(threads):
        description = describe(place)
        student = open_student(place, None if network is None else _own(network, description))
        if chosen != "cpu":
            announce(f"running on {chosen}")
        yield student, description, chosen


@contextmanager
def outputs(
    place: Path, network: str | None = None, device: str = "auto", threads: int | None = None
) -> Iterator[Outputs]:
    """A student that computes on arrays: by torch, or by ONNX Runtime for an ONNX bundle, which needs no torch."""
    from mulde.vision.inference.onnx_runtime import OnnxOutputs, is_onnx

    if is_onnx(place):
        if device not in ("auto", "cpu"):
            raise UsageError(f"--device {device}: an ONNX bundle runs on the CPU; leave --device out")
        yield OnnxOutputs(place, threads or 1)
        return
    from mulde.vision.inference.loaded import TorchOutputs

    with opened(place, network, device, threads) as (student, _, chosen):
        yield TorchOutputs(student, chosen)


def _own(spec: str, description: dict[str, Any]) -> nn.Module:
    """A new network of the user's: a module, or made by a function of some of classes, channels and size."""
    from torch import nn

    found, _ = named(spec)
    if isinstance(found, nn.Module):
        return found
    given = description["input"]
    values = {"classes": len(description["classes"]), "channels": given["channels"], "size": given["size"]}
    try:
        made = found(**{name: values[name] for name in inspect.signature(found).parameters if name in values})
    except Exception as error:
        raise UsageError(f"--network {spec}: it ended in {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise UsageError(f"--network {spec}: expected a function that makes an nn.Module, got {type(made).__name__}")
    return made
