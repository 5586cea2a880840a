"""Triple classification: true or false triples. Probabilities are fitted on valid and evaluated on test.

True triples are those of the splits. False ones are given, or drawn: head or tail of a true triple is replaced by
another entity that has the same relation at the same position in train. Results do not depend on the order of the
triples in the graph.
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
from mulde.report.tables import data_frame, html_table, table

SEEDS = {"valid": 0, "test": 1}  # of the false triples that are drawn
DRAWS = 50  # attempts at a corruption that is in no split
DRAWN = "drawn from the entities at the same position of the relation in train"


@dataclass(frozen=True, repr=False)
class Classification:
    """A fitted calibration and its evaluation."""

    calibration: Calibration
    test: dict[str, float]
    """Metrics on the test split, see `mulde.metrics.binary`."""
    one_threshold: dict[str, float]
    """For comparison: accuracy and F1 with one threshold on the mean score, the best one on valid."""
    reliability: list[dict[str, Any]]
    """Predicted and observed fractions of true triples on the test split, in bins."""
    by_relation: dict[str, dict[str, float]]
    """Number of triples and accuracy of each relation, by identifier."""
    triples: dict[str, int]
    """Numbers of true and false triples in each split."""

    def report(self) -> dict[str, Any]:
        """All of the above but the calibration as plain values, for JSON."""
        return {
            "task": "classification",
            "negatives": self.calibration.negatives,
            "triples": self.triples,
            "test": self.test,
            "one_threshold": self.one_threshold,
            "reliability": self.reliability,
            "by_relation": self.by_relation,
        }

    def to_pandas(self) -> Any:
        """Number of triples and accuracy of each relation as a pandas DataFrame."""
        return data_frame([{"relation": relation, **values} for relation, values in self.by_relation.items()])

    def __repr__(self) -> str:
        return f"{self._title()}\n{table([self.test])}"

    def _repr_html_(self) -> str:
        return html_table([self.test], self._title())

    def _title(self) -> str:
        counts = f"{self.triples['test true']:,} true and {self.triples['test false']:,} false test triples"
        return f"Triple classification of {counts}; false ones: {self.calibration.negatives}"


def calibrate(model: KGEModel, graph: TripleSet, weights: str = "") -> Calibration:
    """Fit a calibration on valid, with drawn false triples; arguments and errors as for `classify`."""
    return _fitted(model, graph, None, "", weights)[0]


def classify(
    model: KGEModel, graph: TripleSet, negatives: tuple[Ids, Ids] | None = None, *, name: str = "", weights: str = ""
) -> Classification:
    """Fit a calibration on valid and evaluate it on test.

    Parameters
    ----------
    model, graph
        A model and its graph.
    negatives
        False triples (n, 3) of valid and of test, with relation ids of the graph. None: as many as true ones are drawn.
    name
        Source of the negatives.
    weights
        Checksum of the model's weights, kept with the calibration.

    Raises
    ------
    UsageError
        If a split has no true or no false triples.
    """
    false = (None, None) if negatives is None else negatives
    calibration, scores, labels = _fitted(model, graph, false[0], name, weights)
    test_relations, test_scores, truth = _scored(model, graph, "test", false[1])
    probabilities = calibration.probabilities(test_relations, test_scores)
    threshold = _best_threshold(scores.mean(1), labels)
    plain = binary_metrics((test_scores.mean(1) >= threshold).astype(float), truth)
    right = (probabilities >= 0.5) == truth
    return Classification(
        calibration,
        binary_metrics(probabilities, truth),
        {"accuracy": plain["accuracy"], "f1": plain["f1"]},
        reliability(probabilities, truth),
        {
            graph.relations[relation]: {"triples": int(inside.sum()), "accuracy": float(right[inside].mean())}
            for relation in np.unique(test_relations).tolist()
            if (inside := test_relations == relation).any()
        },
        {
            f"{split} {kind}": int((values == (kind == "true")).sum())
            for split, values in (("valid", labels), ("test", truth))
            for kind in ("true", "false")
        },
    )


def _fitted(
    model: KGEModel, graph: TripleSet, false: Ids | None, name: str, weights: str
) -> tuple[Calibration, NDArray[Any], NDArray[np.bool_]]:
    """A calibration, and the scores (n, 2) and labels (n,) of the validation triples that it was fitted on."""
    relations, scores, labels = _scored(model, graph, "valid", false)
    source = DRAWN if false is None else name
    return fit_calibration(scores, relations, labels, graph.num_relations, weights, source), scores, labels


def _scored(
    model: KGEModel, graph: TripleSet, split: str, false: Ids | None
) -> tuple[Ids, NDArray[Any], NDArray[np.bool_]]:
    """Relations (n,), scores in both directions (n, 2) and labels (n,) of true and false triples of a split."""
    if false is None:
        false = draw_negatives(graph, split, SEEDS[split])
    true = _ordered(getattr(graph, split))
    if not len(true) or not len(false):
        raise UsageError(f"classification needs true and false {split} triples; got {len(true)} and {len(false)}")
    triples = np.concatenate([true, false])
    return triples[:, 1], score_both_directions(model, *triples.T), np.arange(len(triples)) < len(true)


def read_negatives(path: Path, graph: TripleSet) -> Ids:
    """The triples (n, 3) of a file in any of the graph formats.

    Raises
    ------
    UsageError
        For a name not in the graph.
    """
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
    """A false triple for each triple of a split, (n, 3): head or tail is replaced, and the result is in no split.

    After half of the attempts any entity may be drawn. Triples without a corruption are left out.
    """
    true = _ordered(getattr(graph, split))
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
    return np.delete(false, left, axis=0)  # a relation between all pairs has no false triple


def _seen(graph: TripleSet, relations: Ids, place: int, draw: np.random.Generator, anything: bool) -> Ids:
    """For each relation (n,) an entity at this position (0: head, 2: tail) of one of its training triples."""
    if anything:
        return draw.integers(0, graph.num_entities, len(relations))
    train = _ordered(graph.train)
    starts = np.searchsorted(train[:, 1], np.arange(graph.num_relations + 1))
    sizes = np.diff(starts)[relations]
    chosen = starts[relations] + (draw.random(len(relations)) * sizes).astype(np.int64)
    found: Ids = train[np.minimum(chosen, len(train) - 1), place]
    return np.where(sizes > 0, found, draw.integers(0, graph.num_entities, len(relations)))


def _ordered(triples: Ids) -> Ids:
    """Triples (n, 3) sorted by relation, head and tail."""
    heads, relations, tails = triples.T
    return triples[np.lexsort((tails, heads, relations))]


def _best_threshold(scores: NDArray[Any], labels: NDArray[np.bool_]) -> float:
    """The threshold on the scores with the best accuracy."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(np.where(labels[order], 1, -1))
    return float(scores[order[int(right.argmax())]])
