"""Teacher predictions that are being computed, in parts, so that an interrupted computation continues.

For predictions that will be in ``NAME``, the folder ``NAME.parts-HASH`` holds a file for every part that is finished,
and ``predictions.json``, which says what they are of, as the hash does. It is removed at the end. Several processes may
compute the same parts: their values are equal up to rounding, and each process makes its own ``NAME``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mulde.errors import WriteError
from mulde.files import as_json, checked_zip, continued_folder, remove_folder, written_atomically

ABOUT = "predictions.json"


@dataclass(frozen=True)
class Unfinished:
    """The parts in a folder; None keeps nothing."""

    folder: Path | None

    @classmethod
    def beside(cls, place: Path | None, about: dict[str, Any]) -> Unfinished:
        """The parts of predictions of some teachers and data that will be in a folder."""
        if place is None:
            return cls(None)
        content = as_json(about)
        folder = place.with_name(f"{place.name}.parts-{hashlib.sha256(content).hexdigest()[:8]}")
        continued_folder(folder, ABOUT, content)
        return cls(folder)

    def read(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float16]] | None:
        """The ids and log-probabilities (b, K) of a part; None if it is missing or damaged."""
        if self.folder is None:
            return None
        try:
            with checked_zip(self._path(number)) as stream, np.load(stream, allow_pickle=False) as stored:
                return stored["ids"], stored["log_probabilities"]
        except (OSError, ValueError, KeyError):
            return None

    def write(self, number: int, ids: NDArray[np.int32], log_probabilities: NDArray[np.float16]) -> None:
        """Keep a part."""
        if self.folder is None:
            return
        try:
            with written_atomically(self._path(number)) as stream:
                np.savez(stream, ids=ids, log_probabilities=log_probabilities)
        except WriteError:
            if self.folder.is_dir():  # otherwise another process has finished, and removed the parts
                raise

    def remove(self) -> None:
        """Remove all parts."""
        if self.folder is not None:
            remove_folder(self.folder)

    def _path(self, number: int) -> Path:
        return Path(self.folder or "") / f"{number:06}.npz"
