"""Calibrated probabilities: recovered parameters, the model's checksum, and false negatives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kge_data import TripleSet, from_triples
from kge_data.filters import KnownAnswers
from kge_data.tripleset import SPLITS
from mulde.errors import UsageError
from mulde.kge.evaluation import calibration
from mulde.kge.evaluation.calibration import Calibration, fit_calibration, open_calibration, save_calibration
from mulde.kge.evaluation.triple_classification import (
    _best_threshold,
    calibrate,
    classify,
    draw_negatives,
    read_negatives,
)
from tests.kge.toys import model, toy_graph


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    return toy_graph()


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores, relations, labels and the probabilities that drew them: other thresholds for other relations."""
    draw = np.random.default_rng(seed)
    scores = draw.normal(-40, 9, (n, 2))
    relations = draw.integers(0, 3, n)
    true = 1 / (1 + np.exp(-(0.1 * scores[:, 0] + 0.05 * scores[:, 1] + np.array([2.0, 6.0, 10.0])[relations])))
    return scores, relations, draw.random(n) < true, true


def test_a_calibration_finds_the_probabilities_that_drew_the_labels() -> None:
    scores, relations, labels, _ = drawn(20_000, 0)
    found = fit_calibration(scores, relations, labels, 4, "w", "made")
    unseen, kinds, _, expected = drawn(2_000, 1)
    assert np.abs(found.probabilities(kinds, unseen) - expected).mean() < 0.015
    assert found.offsets[3] == pytest.approx(0) and found.slopes[3] == 0  # never seen: the common ones


def test_the_fit_is_where_the_gradient_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against scikit-learn's logistic regression, with the same parameters for all relations."""
    linear = pytest.importorskip("sklearn.linear_model")
    monkeypatch.setattr(calibration, "PRIOR", 1e-9)
    scores, relations, labels, _ = drawn(500, 2)
    found = fit_calibration(scores, relations, labels, 3, "w", "made").probabilities(relations, scores)
    scaled = (scores - scores.mean(0)) / scores.std(0)
    expected = linear.LogisticRegression(C=1e9).fit(scaled, labels).predict_proba(scaled)[:, 1]
    assert np.abs(found - expected).max() < 1e-3


def test_a_relation_with_few_examples_stays_near_the_common_ones() -> None:
    scores, relations, labels, _ = drawn(2_000, 3)
    few = relations == 2
    few[np.flatnonzero(few)[:2]] = False
    all_, few_ = (
        fit_calibration(scores[kept], relations[kept], labels[kept], 4, "w", "") for kept in (~few | few, ~few)
    )
    unseen, seen = np.full(2_000, 3), np.full(2_000, 2)
    distance = [
        np.abs(made.probabilities(seen, scores) - made.probabilities(unseen, scores)).mean() for made in (all_, few_)
    ]
    assert distance[1] < 0.5 * distance[0]


def test_kept_beside_the_weights(tmp_path: Path) -> None:
    weights, others = 64 * "0", 64 * "1"
    scores, relations, labels, _ = drawn(100, 4)
    found = fit_calibration(scores, relations, labels, 3, weights, "made")
    assert open_calibration(tmp_path, weights, 3) is None
    save_calibration(tmp_path, found)
    assert open_calibration(tmp_path, weights, 3) == found
    for digest, relations_, words in (
        (others, 3, "fitted on other weights"),
        (weights, 4, "expected a calibration of 4 relations"),
    ):
        with pytest.raises(UsageError, match=f"{words}.*remove it, and `mulde evaluate MODEL --task classification`"):
            open_calibration(tmp_path, digest, relations_)
    (tmp_path / "calibration.json").write_text(json.dumps({"format": "mulde calibration 1"}))
    with pytest.raises(UsageError, match=r"expected the key .*remove it"):
        open_calibration(tmp_path, weights, 3)


def test_drawn_negatives_are_false_and_differ_at_one_end(graph: TripleSet) -> None:
    false = draw_negatives(graph, "test", 0)
    known = KnownAnswers(np.concatenate([graph.train, graph.valid, graph.test]))
    assert not known.contains(*false.T).any()
    true = graph.test[np.lexsort(graph.test[:, [2, 0, 1]].T)]
    assert ((false != true).sum(1) == 1).all() and (false[:, 1] == true[:, 1]).all()
    assert (false[:, 0] != true[:, 0]).any() and (false[:, 2] != true[:, 2]).any()
    assert (draw_negatives(graph, "test", 0) == false).all()
    pairs = {tuple(row) for row in graph.train[:, :2].tolist()}
    changed = false[false[:, 0] != true[:, 0]]
    assert np.mean([tuple(row) in pairs for row in changed[:, :2].tolist()]) > 0.8  # heads seen with the relation


def test_a_relation_between_all_and_all_has_no_false_triple() -> None:
    triples = [(a, "r", b) for a in "ab" for b in "ab"]
    assert len(draw_negatives(from_triples(triples[:3], triples[3:], triples[3:]), "test", 0)) == 0


def test_classify(graph: TripleSet) -> None:
    found = classify(model(graph), graph, weights="w")
    assert found.triples["test true"] == len(graph.test) and found.calibration.model == "w"
    assert 0 <= found.test["accuracy"] <= 1 and 0 <= found.test["ece"] <= 1
    assert sum(row["number"] for row in found.reliability) == found.triples["test true"] + found.triples["test false"]
    right = sum(row["triples"] * row["accuracy"] for row in found.by_relation.values())
    assert right / sum(row["triples"] for row in found.by_relation.values()) == pytest.approx(found.test["accuracy"])
    json.dumps(found.report())


def test_the_order_of_the_triples_does_not_matter(graph: TripleSet) -> None:
    """A stored graph has its triples in another order than the file that it was loaded from."""
    shuffled = replace(
        graph, **{split: np.random.default_rng(1).permutation(getattr(graph, split)) for split in SPLITS}
    )
    found, again = (classify(model(graph), each) for each in (graph, shuffled))
    assert (found.calibration, found.report()) == (again.calibration, again.report())
    assert calibrate(model(graph), shuffled) == found.calibration


def test_probabilities_are_fitted_on_validation_alone(graph: TripleSet) -> None:
    network = model(graph)
    valid, test = draw_negatives(graph, "valid", 0), draw_negatives(graph, "test", 1)
    first = classify(network, graph, (valid, test), name="x").calibration
    assert classify(network, graph, (valid, test[:3]), name="x").calibration == first
    assert classify(network, graph, (valid[:3], test), name="x").calibration != first


def test_negatives_from_a_file(tmp_path: Path, graph: TripleSet) -> None:
    path = tmp_path / "false.txt"
    path.write_text("e01\tr0\te02\ne03\tr1\te04\n")
    assert read_negatives(path, graph).tolist() == [[1, 0, 2], [3, 1, 4]]
    path.write_text("e01\tr0\tnobody\n")
    with pytest.raises(UsageError, match='no entity is called "nobody" in toy; remove or correct its triples'):
        read_negatives(path, graph)
    with pytest.raises(UsageError, match="classification needs true and false valid triples; got 10 and 0"):
        classify(model(graph), graph, (np.empty((0, 3), np.int64), draw_negatives(graph, "test", 1)))


def test_the_best_threshold() -> None:
    scores, labels = np.array([1.0, 5.0, 2.0, 4.0, 3.0]), np.array([False, True, False, True, True])
    assert _best_threshold(scores, labels) == 3.0


def test_probabilities_of_extreme_scores_are_finite() -> None:
    made = Calibration((1.0, 1.0), 0.0, (0.0,), (0.0,), "", "")
    assert made.probabilities(np.zeros(2, int), np.array([[-1e4, 0], [1e4, 0]])).tolist() == [0.0, 1.0]


def test_results_print_and_have_data_frames(graph: TripleSet) -> None:
    pytest.importorskip("pandas")
    found = classify(model(graph), graph)
    assert repr(found).startswith(f"Triple classification of {len(graph.test):,} true and ")
    assert f"{found.test['accuracy']:.4f}" in repr(found) and f"{found.test['accuracy']:.4f}" in found._repr_html_()
    assert found.to_pandas()["relation"].tolist() == list(found.by_relation)
    assert repr(found.calibration).startswith("Calibration(weights=(") and "3 relations" in repr(found.calibration)
    assert found.calibration.to_pandas()["slope"].tolist() == list(found.calibration.slopes)
