"""The graph prior: by naive counting, fitted against a reference, without test triples."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import kge_data
import mulde
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde import cli
from mulde.kge.evaluation.graph_prior_fit import fit, fit_graph_prior, offsets_of
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.export.bundle import Original, pack
from mulde.kge.inference.onnx_runtime import OnnxScorer
from mulde.kge.model import ranking
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.kge.storage.run_folder import open_model, save_model
from mulde.kge.teachers.opening import open_teacher


@pytest.fixture(scope="module")
def umls() -> TripleSet:
    return kge_data.load("umls")


@pytest.fixture(scope="module")
def nations() -> TripleSet:
    return kge_data.load("nations")


@pytest.fixture
def model(umls: TripleSet) -> KGEModel:
    return mulde.load("umls-8")


def test_candidates_gain_by_their_other_triples(nations: TripleSet) -> None:
    model = KGEModel(RotH, 14, 55, ModelConfig(dim=4, init_scale=0.5, dtype="float64")).eval()
    weights = torch.linspace(-3, 3, 110, dtype=torch.float64)
    model.set_graph_prior(GraphPrior(weights, nations.train))
    train = {tuple(triple) for triple in with_reciprocals(nations.train).tolist()}
    queries = torch.tensor([(h, r) for h in range(14) for r in (0, 1, 7, 54, 109)])
    heads, relations = queries.unbind(1)
    found = torch.empty(len(queries), 14, dtype=torch.float64)
    for rows, scores in model.answers(heads, relations):
        found[rows] = scores
    counted = 0
    for row, (head, relation) in enumerate(queries.tolist()):
        for tail in range(14):
            another = any((x, relation, tail) in train for x in range(14) if x != head)
            plain = model.score(heads[row : row + 1], relations[row : row + 1], torch.tensor([tail])).item()
            assert found[row, tail].item() == pytest.approx(plain + another * weights[relation].item())
            counted += another
    assert 0 < counted < found.numel()
    assert torch.equal(model.score_all(heads, relations), _without_prior(model).score_all(heads, relations))


@pytest.mark.parametrize("few", [0.0, 1.0], ids=["all scored", "few scored"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_counting_is_ranking(split: str, few: float, model: KGEModel, umls: TripleSet, monkeypatch: Any) -> None:
    monkeypatch.setattr(ranking, "FEW", few)
    model.set_graph_prior(
        GraphPrior(torch.linspace(-4, 4, 92)[torch.randperm(92, generator=torch.Generator())], umls.train)
    )
    counted = evaluate(model, umls, split).ranks
    everything = evaluate(Everything(model), umls, split).ranks
    for name in ("better", "tied", "candidates"):
        assert np.array_equal(getattr(counted, name), getattr(everything, name)), name


class Everything:
    """A ranker that is not a model, so that all scores are computed."""

    def __init__(self, model: KGEModel):
        self.blocks = model.answers


def _without_prior(model: KGEModel) -> KGEModel:
    model.set_graph_prior(None)
    return model


def test_the_fit_is_the_most_probable() -> None:
    draw = np.random.default_rng(0)
    relations, offsets = draw.integers(0, 3, 300), draw.normal(0, 3, 300)
    true = np.array([-2.0, 0.0, 2.0])
    answers = draw.random(300) < 1 / (1 + np.exp(-(true[relations] + offsets)))

    def cost(weights: np.ndarray) -> float:
        sign = np.where(answers, 1, -1)
        return float(np.logaddexp(0, -sign * (weights[relations] + offsets)).sum() + (weights**2).sum() / 2)

    found = fit(relations, offsets, answers, 4)
    np.testing.assert_allclose(found[:3], minimize(cost, np.zeros(3), tol=1e-12).x, atol=1e-4)
    assert found[3] == 0  # it has no query
    np.testing.assert_allclose(found[:3], true, atol=1)


def test_offsets_compare_both_kinds_of_candidates(model: KGEModel, umls: TripleSet) -> None:
    queries = with_reciprocals(umls.valid)[::97]
    found = offsets_of(model, queries, umls)
    train = with_reciprocals(umls.train)
    known = {tuple(triple) for triple in np.concatenate([train, with_reciprocals(umls.valid)]).tolist()}
    for (head, relation, tail), offset in zip(queries.tolist(), found, strict=True):
        answering = set(train[train[:, 1] == relation, 2].tolist())
        _, scores = next(model.blocks(torch.tensor([head]), torch.tensor([relation])))
        scores = scores[0].double()
        others = [t for t in range(umls.num_entities) if t == tail or (head, relation, t) not in known]
        inside, outside = (
            scores[[t for t in others if (t in answering) == inside]].logsumexp(0).item() for inside in (True, False)
        )
        assert offset == pytest.approx(inside - outside, abs=1e-4)


def test_one_relation_by_hand() -> None:
    """Two entities have a hypernym already, and validation shows that such are no answers."""
    weights = fit(np.zeros(5, dtype=np.int64), np.zeros(5), np.zeros(5, dtype=bool), 1)
    # 5 times log σ(-w) and a standard normal prior: w = -5 σ(w)
    assert weights[0] == pytest.approx(-5 / (1 + math.exp(-weights[0])), abs=1e-8) and -1.5 < weights[0] < -1


def test_it_helps_and_sees_no_test_triple(model: KGEModel, umls: TripleSet) -> None:
    prior = fit_graph_prior(model, umls)
    assert prior is not None
    blind = fit_graph_prior(model, replace(umls, test=umls.test[:1]))
    assert blind is not None and torch.equal(prior.weights, blind.weights)
    model.set_graph_prior(None)
    before, plain = (evaluate(model, umls, embeddings_only=only).metrics()["mrr"] for only in (False, True))
    model.set_graph_prior(prior)
    assert evaluate(model, umls, embeddings_only=True).metrics()["mrr"] == plain < before
    assert evaluate(model, umls).metrics()["mrr"] > before + 0.01
    model.set_graph_prior(None)
    model.unmask_self_loops()
    assert evaluate(model, umls).metrics()["mrr"] == plain


def test_without_gain_on_validation_it_is_left_out(nations: TripleSet) -> None:
    best = KGEModel(RotH, 14, 55, ModelConfig(dim=4)).eval()
    assert fit_graph_prior(best, replace(nations, valid=nations.valid[:0])) is None


def test_it_is_stored_with_the_model_and_kept_from_teaching(model: KGEModel, umls: TripleSet, tmp_path: Path) -> None:
    model.set_graph_prior(fit_graph_prior(model, umls))
    save_model(tmp_path / "run", model, umls, "umls")
    again = open_model(tmp_path / "run")
    queries = torch.tensor([3, 5]), torch.tensor([4, 9])
    assert again.graph_prior is not None and model.graph_prior is not None
    for (_, there), (_, here) in zip(again.answers(*queries), model.answers(*queries), strict=True):
        assert torch.equal(there, here)
    packed = pack(Original.open(tmp_path / "run"), "umls", "float16")
    packed.write(tmp_path / "umls.zip")
    assert abs(packed.loss("test")) < 0.01 and open_model(tmp_path / "umls.zip").graph_prior is not None
    teacher = open_teacher(tmp_path / "run", umls)
    assert torch.equal(teacher.score_all(*queries), model.score_all(*queries))  # type: ignore[operator]


def test_an_onnx_file_answers_alike(model: KGEModel, umls: TripleSet, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert model.graph_prior is not None
    model.graph_prior.weights.copy_(torch.linspace(-4, 4, 92))
    save_model(tmp_path / "run", model, umls, "umls")
    words = ["export", str(tmp_path / "run"), "--to", "onnx", "--out", str(tmp_path / "o.zip"), "--max-loss", "1"]
    assert cli.main(words) == 0
    scorer = OnnxScorer(tmp_path / "o.zip")
    _, pairs, counts = np.unique(umls.train[:, 1:], axis=0, return_inverse=True, return_counts=True)
    head, relation, _ = umls.train[counts[pairs] == 1][0]  # its tail answers the relation for no other head
    plain = {"head": umls.entities[head], "relation": umls.relations[relation]}
    for query in (
        plain,
        {"head": "virus", "relation": "causes"},
        {"tail": "virus", "relation": "isa", "exclude_known": True},
    ):
        expected = mulde.predict(model, umls, top=20, **query)
        found = scorer.predict(top=20, **query)
        assert [answer.identifier for answer in found] == [answer.identifier for answer in expected]
        assert [answer.score for answer in found] == pytest.approx([answer.score for answer in expected], abs=1e-4)


def test_without_the_option_there_is_no_prior(umls: TripleSet) -> None:
    options = {"dim": 4, "epochs": 1, "batch_size": 2000, "negatives": 4}
    assert mulde.train("rote", umls, graph_prior=False, **options).graph_prior is None
