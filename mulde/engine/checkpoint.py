"""The folder of one named fit, and its weights.

config.json        settings that must not change when the fit is continued, and the environment
log.jsonl          one line per logged moment, see `record.py`
checkpoint.pt      state to continue from; checkpoint.previous.pt the one before. Both are removed at the end of the fit
best.safetensors   weights of the best evaluation so far
final.safetensors  weights at the end
record.json        the summary; it exists if the fit is finished

Every file but the log is written atomically.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mulde.differences import differences
from mulde.engine.frozen import frozen_modules
from mulde.engine.method import Method
from mulde.engine.record import Record
from mulde.errors import UsageError
from mulde.files import replacing, write_atomically, written_atomically


class ConfigurationChanged(UsageError):
    """A fit of this name was started with another configuration.

    Parameters
    ----------
    path
        Folder of the fit.
    changes
        One line "key: was X, is Y" for each difference.
    """

    def __init__(self, path: Path, changes: list[str]) -> None:
        super().__init__(
            f"{path} was started with another configuration; "
            "choose another name, remove the folder, or go back to the old values:\n  " + "\n  ".join(changes)
        )
        self.path, self.changes = path, changes


class RunFolder:
    """The files of one named fit.

    Parameters
    ----------
    path
        The folder.
    """

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
        """Write config.json, or compare with the one that exists.

        Parameters
        ----------
        fixed
            Settings that must be equal when the fit is continued.
        environment
            Written once, never compared.

        Raises
        ------
        ConfigurationChanged
            If a setting differs.
        """
        plain = json.loads(json.dumps(fixed, default=str))
        if not self._config.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            _write_json(self._config, {**plain, "environment": environment})
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
        """Replace the checkpoint; the one before is kept."""
        with written_atomically(self.checkpoint, keep=self.previous) as file:
            torch.save(dict(state), file)  # to a path, torch would not report why it fails

    def load(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None. Only tensors and plain containers are opened."""
        for path in (self.checkpoint, self.previous):
            if not path.exists():
                continue
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                warnings.warn(f"{path} cannot be read ({error}); using an older one", stacklevel=2)
        return None

    def finish(self, record: Record, final: Mapping[str, Tensor]) -> None:
        """Write the final weights and the record; remove the checkpoints unless a larger budget may continue."""
        save_weights(self.final, final)
        _write_json(self._record, record.as_dict())
        if record.stopped_by != "budget":
            for path in (self.checkpoint, self.previous):
                path.unlink(missing_ok=True)


def weights_of(method: Method) -> dict[str, Tensor]:
    """A copy in main memory of all parameters and buffers of a method that are not frozen.

    Raises
    ------
    UsageError
        If the state of the method holds anything but tensors.
    """
    left_out = [name for name, _ in frozen_modules(method)]
    weights = {}
    for key, value in method.state_dict().items():
        if any(key.startswith(f"{name}.") for name in left_out):
            continue
        if not isinstance(value, Tensor):
            raise UsageError(f'"{key}" of the method\'s state is a {type(value).__name__}; keep state in buffers')
        weights[key] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return weights


def restore_weights(method: Method, weights: Mapping[str, Tensor]) -> None:
    """Load weights into a method; the inverse of `weights_of`.

    Raises
    ------
    UsageError
        If names do not match.
    """
    left_out = [name for name, _ in frozen_modules(method)]
    missing, unexpected = method.load_state_dict(dict(weights), strict=False)
    missing = [key for key in missing if not any(key.startswith(f"{name}.") for name in left_out)]
    if missing or unexpected:
        raise UsageError(f"these weights belong to another method: missing {missing}, unexpected {unexpected}")


def save_weights(target: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a safetensors file atomically."""
    with replacing(target) as path:
        safetensors.torch.save_file(dict(weights), path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file."""
    if not str(path).isprintable():  # safetensors opens no path that is not UTF-8
        return dict(safetensors.torch.load(path.read_bytes()))
    return dict(safetensors.torch.load_file(path))


def _write_json(target: Path, content: Mapping[str, Any]) -> None:
    write_atomically(target, (json.dumps(content, indent=2) + "\n").encode())
