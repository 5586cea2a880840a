"""Answer sets with a stated coverage, by split conformal prediction, and their file. Imports no torch.

The candidates of a query (h, r, ?) are all entities but its answers in train. With p the softmax over their scores, the
set of coverage c is

    {t : -log p(t) ≤ Q}     Q: the ⌈(n + 1)·c⌉-th smallest -log p of n calibration triples; infinite if there are fewer

(Vovk, Gammerman and Shafer 2005, split or inductive conformal prediction; with this score for link prediction Zhu et
al. 2025, "Conformalized Answer Set Prediction for Knowledge Graph Embedding"). If a new triple and the calibration
triples are exchangeable, the answer is in its set with a probability of at least c. The probability is marginal: it is
a mean over such triples, not one for each query.

There is a Q for each direction and each relation with enough triples, and one for all other relations of a direction.
Which relations have their own is decided by the part of validation that is not used for calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.inverse import is_reciprocal, num_internal
from kge_data.keys import Ids
from mulde import schema
from mulde.errors import UsageError
from mulde.files import as_json, write_atomically
from mulde.kge.storage import bundle
from mulde.schema import contents

FILE, FORMAT = "coverage.json", "mulde coverage 1"
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
"""Coverages whose quantiles are kept; others are rounded up to the next one."""
TOPS = (1, 3, 10, 30, 100, 300, 1000)
"""Lengths of lists whose coverage is kept."""
OWN = 50  # triples of a relation from which it has quantiles of its own
OTHERS = ("tails of other relations", "heads of other relations")  # groups of relations without quantiles of their own


@dataclass(frozen=True)
class Group:
    """Calibration triples with common quantiles."""

    triples: int
    """Number of calibration triples."""
    quantiles: tuple[float | None, ...]
    """Q for each of `LEVELS`; None where there are too few triples, so that a set holds all candidates."""
    top: tuple[float, ...]
    """For each of `TOPS`, the fraction of the triples whose answer is among so many first candidates."""


@dataclass(frozen=True)
class Coverage:
    """Quantiles of a model."""

    groups: Mapping[str, Group]
    """By internal relation id, as text, or a name of `OTHERS`."""
    graph_prior: tuple[float, ...] | None
    """(2r,) weights of the graph prior that the quantiles were made with; None without one."""
    filtered: bool
    """Whether answers in train are no candidates; they are in a bundle without triples."""
    model: str
    """SHA-256 of the model's weights."""

    def group_of(self, relation: int) -> tuple[str, Group]:
        """Key and group of queries with an internal relation."""
        own = str(relation)
        key = own if own in self.groups else OTHERS[int(is_reciprocal(relation))]
        return key, self.groups[key]

    def quantiles(self, relations: Ids, level: float) -> NDArray[np.float64]:
        """Q (b,) for internal relations (b,) and one of `LEVELS`; infinite where a set holds all candidates."""
        place = LEVELS.index(level)
        of = {each: self.group_of(each)[1].quantiles[place] for each in np.unique(relations).tolist()}
        return np.array([math.inf if of[each] is None else of[each] for each in relations.tolist()], dtype=np.float64)


def level_of(coverage: float) -> float:
    """The smallest of `LEVELS` that is at least this coverage.

    Raises
    ------
    UsageError
        If there is none.
    """
    found = next((level for level in LEVELS if level >= coverage), None)
    if found is None:
        raise UsageError(f"expected a coverage of at most {LEVELS[-1]}, got {coverage:g}; choose a smaller one")
    return found


def quantile(losses: NDArray[np.float64], coverage: float) -> float:
    """The ⌈(n + 1)·coverage⌉-th smallest of n losses; infinite if there are fewer."""
    place = math.ceil((len(losses) + 1) * coverage - 1e-9)  # the product may be just above a whole number
    return float(np.partition(losses, place - 1)[place - 1]) if 0 < place <= len(losses) else math.inf


def fit_groups(relations: Ids, losses: NDArray[np.float64], ranks: Ids, own: Ids) -> dict[str, Group]:
    """The groups of calibration triples.

    Parameters
    ----------
    relations
        (n,) internal relations.
    losses
        (n,) -log p of the answers.
    ranks
        (n,) ranks of the answers among the candidates.
    own
        Internal relations (k,) with quantiles of their own.
    """
    rest = ~np.isin(relations, own)
    parts = {str(each): relations == each for each in own.tolist()}
    parts |= {name: rest & (is_reciprocal(relations) == bool(place)) for place, name in enumerate(OTHERS)}
    return {name: _group(losses[rows], ranks[rows]) for name, rows in parts.items()}


def _group(losses: NDArray[np.float64], ranks: Ids) -> Group:
    found = [quantile(losses, level) for level in LEVELS]
    top = [float((ranks <= k).mean()) if len(ranks) else 0.0 for k in TOPS]
    return Group(len(losses), tuple(each if math.isfinite(each) else None for each in found), tuple(top))


def save_coverage(folder: Path, coverage: Coverage) -> None:
    """Write ``coverage.json`` beside a model."""
    write_atomically(folder / FILE, as_file(coverage))


def as_file(coverage: Coverage) -> bytes:
    """Content of ``coverage.json``."""
    return as_json({"format": FORMAT, "levels": LEVELS, "tops": TOPS, **asdict(coverage)})


def open_coverage(folder: Path, model: str, num_relations: int) -> Coverage | None:
    """The quantiles of a model in a run folder or a bundle; None if there are none.

    Parameters
    ----------
    folder
        Run folder or bundle.
    model
        SHA-256 of the model's weights, as in its description.
    num_relations
        Number of relations in the graph.

    Raises
    ------
    UsageError
        If the file is damaged, of another version, or of other weights.
    """
    path, written = bundle.locate(folder) / FILE, bundle.file_of(folder, FILE)
    if written is None:
        return None
    again = "remove it, and `mulde predict MODEL --coverage` makes it again; of a bundle, `mulde pack` makes a new one"
    content: dict[str, Any] = schema.parse(written, str(path), contents.COVERAGE, again)
    version = content["format"], tuple(content["levels"]), tuple(content["tops"])
    if version != (FORMAT, LEVELS, TOPS):
        raise UsageError(f"{path}: expected format '{FORMAT}', found {schema.shown(version[0])}; {again}")
    groups = {
        name: Group(each["triples"], tuple(each["quantiles"]), tuple(each["top"]))
        for name, each in content["groups"].items()
    }
    count, weights = num_internal(num_relations), content["graph_prior"]
    names = {*OTHERS, *map(str, range(count))}
    lengths = {(len(each.quantiles), len(each.top)) for each in groups.values()} | {(len(LEVELS), len(TOPS))}
    if not set(OTHERS) <= groups.keys() <= names or len(lengths) > 1 or len(weights or ()) not in (0, count):
        raise UsageError(f"{path}: expected quantiles of {num_relations} relations, found others; {again}")
    if content["model"] != model:
        raise UsageError(f"{path}: was made for other weights than those beside it; {again}")
    return Coverage(groups, None if weights is None else tuple(weights), content["filtered"], model)
