"""Which published graphs a checkpoint was pre-trained on, and what it has seen of a graph's test triples.

A checkpoint does not say what it was trained on. The three public ones are recognised by their checksums.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError
from kge_data.filters import KnownAnswers
from kge_data.loading import load
from kge_data.published import catalogue
from kge_data.tripleset import TripleSet
from mulde.files import sha256_of

THREE = ("FB15k-237", "WN18RR", "CoDEx-M")
CHECKPOINTS = {
    "fdedc01b0045fc089d2ad5da08569466b7b221691fe978a18e91082bbb133c18": ("ultra_3g", THREE),
    "48a046e708adf5632d87c30eacae01f5f51466b2301effdc2cb42358d22854e0": ("ultra_4g", (*THREE, "NELL-995")),
    "f1c5377b2cf547aaa67520ffb6fce27b75b6eb3417b86dc9cf9dba89964ed10f": ("ultra_50g", ()),
}
"""SHA-256 of each public checkpoint -> its name, and the graphs whose training splits it has seen, where published."""


@dataclass(frozen=True)
class Pretraining:
    """What is known of a checkpoint and the test triples of a graph."""

    checkpoint: str
    """Name of a public checkpoint; empty for another one."""
    graphs: tuple[str, ...]
    """Graphs whose training splits it was pre-trained on, where they are published."""
    seen: dict[str, int]
    """Graph -> how many test triples of the given graph are in its training split."""
    triples: NDArray[np.bool_]
    """(n,) which test triples of the given graph are in one of these training splits."""

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Graphs that are not on this machine."""
        return tuple(name for name in self.graphs if name not in self.seen)

    def __str__(self) -> str:
        if not self.checkpoint:
            return "this checkpoint is not a public one; whether it has seen the test triples is not known"
        if not self.graphs:
            return (
                f"{self.checkpoint} was pre-trained on 50 graphs that are not listed with it; whether it has seen the "
                "test triples is not known"
            )
        parts = [f"{count:,} in that of {name}" for name, count in self.seen.items()]
        parts += [f"{name} is not on this machine and was not checked" for name in self.unchecked]
        return (
            f"{self.checkpoint} was pre-trained on the training splits of {', '.join(self.graphs)}; of the "
            f"{len(self.triples):,} test triples here: {'; '.join(parts)}"
        )


def pretraining(path: Path, graph: TripleSet) -> Pretraining:
    """What a checkpoint has seen of the test triples of a graph, by the names of entities and relations."""
    name, graphs = CHECKPOINTS.get(sha256_of(path), ("", ()))
    seen = {each: shared(graph, found) for each in graphs if (found := _at_hand(each)) is not None}
    triples = np.any([np.zeros(len(graph.test), dtype=bool), *seen.values()], axis=0)
    return Pretraining(name, graphs, {each: int(found.sum()) for each, found in seen.items()}, triples)


def shared(graph: TripleSet, other: TripleSet) -> NDArray[np.bool_]:
    """Which test triples of a graph are in the training split of another one, by names."""
    entities, relations = (
        np.array([numbers.get(name, -1) for name in own], dtype=np.int64)
        for own, numbers in (
            (graph.entities, {name: number for number, name in enumerate(other.entities)}),
            (graph.relations, {name: number for number, name in enumerate(other.relations)}),
        )
    )
    heads, kinds, tails = graph.test.T
    found: NDArray[np.bool_] = KnownAnswers(other.train).contains(entities[heads], relations[kinds], entities[tails])
    return found


def _at_hand(name: str) -> TripleSet | None:
    """A published graph that is on this machine."""
    try:
        if catalogue.has(name):
            return load(name, download=False)
        folder = Path(os.environ.get("KGE_DATA_HOME", "")) / name
        return load(folder) if "KGE_DATA_HOME" in os.environ and folder.is_dir() else None
    except (DataError, OSError):
        return None
