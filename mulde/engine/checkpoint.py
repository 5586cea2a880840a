"""The folder of one named fit: configuration, checkpoints, weights and record, all written atomically.

config.json        resolved configuration, what must not change between two calls, and the environment
log.jsonl          one line per logged moment (record.py)
checkpoint.pt      where to continue; checkpoint.previous.pt the one before. Gone when the fit is finished
best.safetensors   weights of the best evaluation so far
final.safetensors  weights at the end
record.json        the summary; its presence means: finished
"""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mulde.engine.frozen import frozen_modules
from mulde.engine.method import Method
from mulde.engine.record import Record


class ConfigurationChanged(ValueError):
    """A fit of this name exists in the folder, begun with another configuration.

    path: its folder. changes: one line "key: was X, is Y" for each difference.
    """

    def __init__(self, path: Path, changes: list[str]) -> None:
        super().__init__(
            f"{path} was begun with another configuration; "
            "choose another name, remove the folder, or go back to the old values:\n  " + "\n  ".join(changes)
        )
        self.path, self.changes = path, changes


class RunFolder:
    """The files of one named fit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.checkpoint = path / "checkpoint.pt"
        self.previous = path / "checkpoint.previous.pt"
        self.best = path / "best.safetensors"
        self.final = path / "final.safetensors"
        self._config = path / "config.json"
        self._record = path / "record.json"

    def begin(self, fixed: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Writes config.json, or compares with the one that is there.

        fixed: what must be equal when the fit is continued. environment: written once, never compared.
        Raises ConfigurationChanged with one line per difference.
        """
        plain = json.loads(json.dumps(fixed, default=str))
        if not self._config.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            self._write_json(self._config, {**plain, "environment": environment})
            return
        before = json.loads(self._config.read_text(encoding="utf-8"))
        before.pop("environment", None)
        if changes := differences(before, plain):
            raise ConfigurationChanged(self.path, changes)

    def record(self) -> Record | None:
        """The record of the finished fit, or None."""
        if not self._record.exists():
            return None
        return Record.from_dict(json.loads(self._record.read_text(encoding="utf-8")))

    def save(self, state: Mapping[str, Any]) -> None:
        """Replaces the checkpoint; the one before is kept."""
        with atomic(self.checkpoint, keep=self.previous) as path, path.open("wb") as file:
            torch.save(dict(state), file)  # given a path, it would not tell why it fails

    def load(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None. Only tensors and plain containers are opened."""
        for path in (self.checkpoint, self.previous):
            if not path.exists():
                continue
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                warnings.warn(f"{path} cannot be read ({error}); going back to an older one", stacklevel=2)
        return None

    def finish(self, record: Record, final: Mapping[str, Tensor]) -> None:
        """Writes the final weights, then the record, then drops the checkpoints, unless more time may be given."""
        save_weights(self.final, final)
        self._write_json(self._record, record.as_dict())
        if record.stopped_by != "budget":
            for path in (self.checkpoint, self.previous):
                path.unlink(missing_ok=True)

    @staticmethod
    def _write_json(target: Path, content: Mapping[str, Any]) -> None:
        with atomic(target) as path:
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def atomic(target: Path, keep: Path | None = None) -> Iterator[Path]:
    """A path to write to; afterwards it replaces `target` in one instant, and only if all went well.

    keep: where the replaced file goes (None: it is dropped).
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        unfinished.unlink(missing_ok=True)  # on a full disk its space is needed
        raise
    if keep is not None and target.exists():
        target.replace(keep)
    unfinished.replace(target)
    if os.name == "posix":  # the names, too, must survive a power cut
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def weights_of(method: Method) -> dict[str, Tensor]:
    """A copy of all parameters and buffers of a method that are not frozen, in main memory."""
    left_out = [name for name, _ in frozen_modules(method)]
    weights = {}
    for key, value in method.state_dict().items():
        if any(key.startswith(f"{name}.") for name in left_out):
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f'"{key}" of the method\'s state is a {type(value).__name__}; keep state in buffers')
        weights[key] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return weights


def restore_weights(method: Method, weights: Mapping[str, Tensor]) -> None:
    """Puts weights back in place. Raises ValueError where names do not match."""
    left_out = [name for name, _ in frozen_modules(method)]
    missing, unexpected = method.load_state_dict(dict(weights), strict=False)
    missing = [key for key in missing if not any(key.startswith(f"{name}.") for name in left_out)]
    if missing or unexpected:
        raise ValueError(f"these weights belong to another method: missing {missing}, unexpected {unexpected}")


def save_weights(target: Path, weights: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file atomically."""
    with atomic(target) as path:
        safetensors.torch.save_file(dict(weights), path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file."""
    weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    return weights


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """One line "key: was X, is Y" for every value that differs between two nested dictionaries."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            line
            for key in keys
            for line in differences(before.get(key, _ABSENT), now.get(key, _ABSENT), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [f"{name}: was {_shown(before)}, is {_shown(now)}"]


_ABSENT = object()


def _shown(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)
