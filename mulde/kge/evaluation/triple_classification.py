"""Triple classification: is a triple true? Probabilities are fitted on validation and judged on test.

The graph gives the true triples of both splits; the false ones are given, or drawn: in every true triple head or tail
is replaced by another entity that stands there in train with the same relation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.formats._folder import read
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import Calibration, fit_calibration
from mulde.kge.model.directions import Ids, score_both_directions
from mulde.kge.model.kge_model import KGEModel
from mulde.metrics.binary import binary_metrics, reliability

DRAWS = 50  # attempts at a corruption that no split knows
DRAWN = "drawn among the entities seen there with the relation"


@dataclass(frozen=True)
class Classification:
    """A fitted calibration and what it is worth."""

    calibration: Calibration
    test: dict[str, float]
    """Metrics on the test split, see `mulde.metrics.binary`."""
    one_threshold: dict[str, float]
    """Accuracy and F1 with a single threshold on the mean score, the best one of validation, for comparison."""
    reliability: list[dict[str, Any]]
    """Said and true shares on the test split."""
    by_relation: dict[str, dict[str, float]]
    """Number of triples and accuracy of each relation, by identifier."""
    triples: dict[str, int]
    """How many true and false triples each split had."""

    def report(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "task": "classification",
            "negatives": self.calibration.negatives,
            "triples": self.triples,
            "test": self.test,
            "one_threshold": self.one_threshold,
            "reliability": self.reliability,
            "by_relation": self.by_relation,
        }


def classify(
    model: KGEModel, graph: TripleSet, negatives: tuple[Ids, Ids] | None = None, *, name: str = "", weights: str = ""
) -> Classification:
    """Fit a calibration on validation and judge it on test.

    ``negatives``: false triples (n, 3) for validation and test, user ids; None draws as many as there are true ones.
    ``name``: where they came from. ``weights``: checksum to be remembered with the calibration.
    """
    if negatives is None:
        negatives, name = (draw_negatives(graph, "valid", 0), draw_negatives(graph, "test", 1)), DRAWN
    splits = []
    for split, false in zip(("valid", "test"), negatives, strict=True):
        true = getattr(graph, split)
        if not len(true) or not len(false):
            raise UsageError(f"classification needs true and false {split} triples; got {len(true)} and {len(false)}")
        triples = np.concatenate([true, false])
        splits.append((triples[:, 1], score_both_directions(model, *triples.T), np.arange(len(triples)) < len(true)))
    (relations, scores, labels), (asked, tested, truth) = splits
    calibration = fit_calibration(scores, relations, labels, graph.num_relations, weights, name)
    said = calibration.probabilities(asked, tested)
    threshold = _best_threshold(scores.mean(1), labels)
    plain = binary_metrics((tested.mean(1) >= threshold).astype(float), truth)
    right = (said >= 0.5) == truth
    return Classification(
        calibration,
        binary_metrics(said, truth),
        {"accuracy": plain["accuracy"], "f1": plain["f1"]},
        reliability(said, truth),
        {
            graph.relations[relation]: {"triples": int(inside.sum()), "accuracy": float(right[inside].mean())}
            for relation in np.unique(asked).tolist()
            if (inside := asked == relation).any()
        },
        {
            f"{split} {kind}": int((values == (kind == "true")).sum())
            for split, values in (("valid", labels), ("test", truth))
            for kind in ("true", "false")
        },
    )


def read_negatives(path: Path, graph: TripleSet) -> Ids:
    """The triples (n, 3) of a file in any format that graphs have. Raises UsageError for a name the graph lacks."""
    parts = [np.empty((0, 3), dtype=np.int64)]
    for heads, relations, tails in read(path, {}):
        columns = graph.entity_ids(heads), graph.relation_ids(relations), graph.entity_ids(tails)
        for _, reasons in columns:
            if reasons:
                raise UsageError(
                    f"{path}: {next(iter(reasons.values()))} in {graph.name}; remove or correct its triples"
                )
        parts.append(np.stack([ids for ids, _ in columns], axis=1))
    return np.concatenate(parts)


def draw_negatives(graph: TripleSet, split: str, seed: int) -> Ids:
    """A false triple (n, 3) for each triple of a split: head or tail replaced, unknown to every split.

    Where the entities seen there are used up, any other entity takes their place.
    """
    true: Ids = getattr(graph, split)
    known = KnownAnswers(np.concatenate([graph.train, graph.valid, graph.test]))
    draw = np.random.default_rng(seed)
    false = true.copy()
    side = np.where(draw.random(len(true)) < 0.5, 0, 2)
    left = np.arange(len(true))
    for attempt in range(DRAWS):
        for place in (0, 2):
            rows = left[side[left] == place]
            false[rows, place] = _seen(graph, true[rows, 1], place, draw, anything=attempt >= DRAWS // 2)
        left = left[known.contains(*false[left].T)]
        if not len(left):
            return false
    return np.delete(false, left, axis=0)  # a relation between all and all has no false triple


def _seen(graph: TripleSet, relations: Ids, place: int, draw: np.random.Generator, anything: bool) -> Ids:
    """For each relation (n,) an entity that stands at this place of one of its training triples."""
    if anything:
        return draw.integers(0, graph.num_entities, len(relations))
    order = np.argsort(graph.train[:, 1], kind="stable")
    starts = np.searchsorted(graph.train[order, 1], np.arange(graph.num_relations + 1))
    sizes = np.diff(starts)[relations]
    chosen = starts[relations] + (draw.random(len(relations)) * sizes).astype(np.int64)
    found: Ids = graph.train[order[np.minimum(chosen, len(order) - 1)], place]
    return np.where(sizes > 0, found, draw.integers(0, graph.num_entities, len(relations)))


def _best_threshold(scores: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """The score from which on "true" is most often right."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(np.where(labels[order], 1, -1))
    return float(scores[order[int(right.argmax())]])
