"""The folder of one named fit, and its weights.

config.json        settings that must not change when the fit is continued, and the environment
log.jsonl          one line per logged moment, see `record.py`
checkpoint.pt      state to continue from; checkpoint.previous.pt the one before. Both are removed at the end of the fit
best.safetensors   weights of the best evaluation so far
final.safetensors  weights at the end
record.json        the summary; it exists if the fit is finished

Every file but the log is written atomically, and has a checksum: a damaged one is never used. The checkpoint before is
used instead of a damaged one. Files of earlier versions without a checksum are used unchecked.
"""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from mulde.differences import differences
from mulde.engine.frozen import frozen_modules
from mulde.engine.method import Method
from mulde.engine.provenance import tensors_checksum
from mulde.engine.record import Record
from mulde.errors import UsageError
from mulde.files import checked_zip, make_folder, read_json, replacing, sha256_of, write_json, written_atomically

CHECKSUM = "checksum"  # key of the metadata of a safetensors file
SOURCES = {
    "config.method_source": "the file of the method was edited",
    "config.scorer_source": "the class of the scorer was edited",
}
"""Settings that are checksums, and what a difference means."""
LOG_CHECKSUM, FINAL_CHECKSUM = "log_sha256", "final_checksum"  # keys of the record


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

    def of_run(self, folder: Path | None, what: str = "run") -> UsageError:
        """The error for a person who repeats a command that writes into a folder."""
        options = [change for change in self.changes if change.startswith(("config.", "fit.", "seed:"))]
        short = [_in_words(change) for change in options or self.changes]
        changes = "\n  ".join(dict.fromkeys(short))
        return UsageError(
            f"{folder} holds a {what} with other settings; give another --out, --restart, or the old settings:"
            f"\n  {changes}"
        )


def _in_words(change: str) -> str:
    """A difference of settings as a person reads it."""
    name, _, values = change.partition(": ")
    return SOURCES.get(name) or f"{re.sub(r'^(config|fit)[.]', '', name)}: {values}"


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
            Settings that must be equal when the fit is continued. A path of a file stands for its content, too.
        environment
            Written once, never compared.

        Raises
        ------
        ConfigurationChanged
            If a setting differs.
        UsageError
            If config.json is damaged.
        """
        plain = json.loads(json.dumps(fixed, default=_written))
        before = read_json(self._config)
        if before is None:
            make_folder(self.path)
            write_json(self._config, {**plain, "environment": environment})
            return
        before.pop("environment", None)
        if changes := differences(before, plain):
            raise ConfigurationChanged(self.path, changes)

    def record(self) -> Record | None:
        """The record of the finished fit, or None. Raises UsageError if it is damaged."""
        found = read_json(self._record)
        try:
            return None if found is None else Record.from_dict(found)
        except TypeError as error:
            raise UsageError(f"{self._record}: expected the record of a fit, but {error}; put back a copy") from error

    def final_weights(self) -> dict[str, Tensor]:
        """The final weights of the finished fit.

        Raises
        ------
        UsageError
            If the file is missing, damaged, or of another fit than the record.
        """
        checksum = (read_json(self._record) or {}).get(FINAL_CHECKSUM)
        weights = load_weights(self.final) if self.final.exists() else None
        if weights is None or checksum not in (None, tensors_checksum(weights)):
            raise UsageError(
                f"{self.final}: expected the weights of {self._record.name}, found {'others' if weights else 'none'}; "
                f"put back a copy, or remove the folder {self.path} to train again"
            )
        return weights

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log of a finished fit.

        Raises
        ------
        UsageError
            If it is damaged.
        """
        checksum = (read_json(self._record) or {}).get(LOG_CHECKSUM)
        if checksum is not None and sha256_of(self.log) != checksum:
            raise UsageError(
                f"{self.log}: its checksum is not the one in {self._record.name}; the file is damaged or was edited; "
                "put back a copy"
            )
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint; the one before is kept."""
        with written_atomically(self.checkpoint, keep=self.previous) as file:
            torch.save(dict(state), file)  # to a path, torch would not report why it fails

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that is not damaged, or None. Only tensors and plain containers are opened."""
        for path, instead in ((self.checkpoint, "the one before is used"), (self.previous, "the fit starts anew")):
            if not path.exists():
                continue
            try:
                with checked_zip(path) as stream:
                    state: dict[str, Any] = torch.load(stream, map_location="cpu", weights_only=True)
                    return state
            except (ValueError, RuntimeError, EOFError) as error:
                reason = str(error)
            except pickle.UnpicklingError:
                reason = "it contains other objects than tensors and plain values"
            if not self.previous.exists():
                instead = "the fit starts anew"
            warnings.warn(f"{path}: this checkpoint is not used, because {reason}; {instead}", stacklevel=2)
        return None

    def finish(self, record: Record, final: Mapping[str, Tensor]) -> None:
        """Write the final weights and the record; remove the checkpoints unless a larger budget may continue."""
        save_weights(self.final, final)
        log = sha256_of(self.log) if self.log.exists() else None
        checksums = {LOG_CHECKSUM: log, FINAL_CHECKSUM: tensors_checksum(final)}
        write_json(self._record, {**record.as_dict(), **checksums})
        if record.stopped_by != "budget":
            for path in (self.checkpoint, self.previous):
                path.unlink(missing_ok=True)


def _written(value: Any) -> str:
    """A setting that is no plain value as text: a file with the checksum of its content, others as they are printed."""
    if isinstance(value, Path) and value.is_file():
        return f"{value} (SHA-256 {sha256_of(value)[:16]})"
    return str(value)


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
    """Write a safetensors file atomically, with a checksum in its metadata."""
    with replacing(target, apart=True) as path:
        safetensors.torch.save_file(dict(weights), path, {CHECKSUM: tensors_checksum(weights)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; errors of the system are those of Python."""
    content = path.read_bytes()  # safetensors opens no path that is not UTF-8, and calls an unreadable file missing
    tensors = safetensors.torch.load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors, header.get("__metadata__", {})


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    UsageError
        If it is damaged.
    """
    try:
        weights, metadata = read_tensors(path)
        if metadata.get(CHECKSUM) not in (None, tensors_checksum(weights)):
            raise ValueError("they do not match their checksum")
    except (SafetensorError, ValueError) as error:
        raise UsageError(
            f"{path}: expected weights as they were written, but {error}; the file is damaged; put back a copy, or "
            f"remove the folder {path.parent} to train again"
        ) from error
    return weights
