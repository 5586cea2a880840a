"""Content of config.json: settings that must not change when a fit is continued, and the environment."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mulde.engine.device import Device
from mulde.engine.frozen import frozen_modules
from mulde.engine.method import Method

PACKAGES = ("mulde", "torch", "numpy", "lightning-fabric", "safetensors")


def parameters_of(method: Method) -> dict[str, dict[str, str]]:
    """Learner -> name of each parameter -> its shape and dtype."""
    names = {id(parameter): name for name, parameter in method.named_parameters(remove_duplicate=False)}
    return {
        learner: {
            names.get(id(parameter), f"unnamed {position}"): f"{list(parameter.shape)} {parameter.dtype}"
            for position, parameter in enumerate(parameters)
        }
        for learner, parameters in method.learners().items()
    }


def frozen_fingerprints(method: Method) -> dict[str, str]:
    """Name of each frozen module -> SHA-256 over its tensors."""
    return {name: fingerprint(module) for name, module in frozen_modules(method)}


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and values of all parameters and buffers."""
    state = module.state_dict()
    return _checksum((name, tensor) for name, tensor in state.items() if isinstance(tensor, torch.Tensor))


def tensors_checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and values of tensors in any order."""
    return _checksum(sorted(tensors.items()))


def _checksum(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def settings(value: Any) -> Any:
    """A value for config.json: dataclasses as dictionaries, other callables by name, plain values as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: settings(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {key: settings(item) for key, item in value.items()}
    return getattr(value, "__qualname__", type(value).__qualname__) if callable(value) else value


def named(value: Any) -> Any:
    """The settings of an object with the name of its class."""
    return {"kind": type(value).__qualname__, **(settings(value) if is_dataclass(value) else {})}


def environment() -> dict[str, Any]:
    """Environment of a result: versions, processor, threads, date."""
    return {
        "date": datetime.date.today().isoformat(),
        "versions": {
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def fit_environment(device: Device, seed: int) -> dict[str, Any]:
    """The environment of a fit, with its device and seed."""
    cuda = device.torch_device.type == "cuda"
    return {
        **environment(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": str(device.torch_device),
        "processes": device.processes,
        **({"accelerator": torch.cuda.get_device_name(device.torch_device)} if cuda else {}),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} logical cores",
        "seed": seed,
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as stream:
            return next(line.partition(":")[2].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
