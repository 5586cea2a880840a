"""Ranks of an evaluated split, kept beside its report for paired comparisons of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mulde.files import checked_zip, written_atomically


@dataclass(frozen=True)
class SplitRanks:
    """Realistic ranks (2n,) float32: first of all (h, r, ?), then of all (?, r, t), both in the order of the split."""

    answers: NDArray[np.float32]
    """As the model answers: with its graph prior and masked self-loops."""
    embeddings_only: NDArray[np.float32]
    """Without both."""

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """Reciprocal ranks by embeddings only (n,): the mean over both directions of each triple."""
        mean: NDArray[np.float64] = (1 / self.embeddings_only.astype(np.float64)).reshape(2, -1).mean(0)
        return mean


def write_ranks(path: Path, ranks: SplitRanks, identity: Mapping[str, Any]) -> None:
    """Write ranks with what identifies their evaluation."""
    with written_atomically(path) as stream:
        np.savez_compressed(
            stream,
            identity=np.array(json.dumps(dict(identity))),
            answers=ranks.answers,
            embeddings_only=ranks.embeddings_only,
        )


def read_ranks(path: Path, identity: Mapping[str, Any]) -> SplitRanks | None:
    """The ranks in a file; None if it is missing, damaged, or of another evaluation."""
    try:
        with checked_zip(path) as stream, np.load(stream, allow_pickle=False) as stored:
            if json.loads(str(stored["identity"])) != identity:
                return None
            return SplitRanks(stored["answers"], stored["embeddings_only"])
    except (OSError, ValueError, KeyError):
        return None
