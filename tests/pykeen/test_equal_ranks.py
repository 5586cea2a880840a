"""Our evaluation of our model equals PyKEEN's evaluation of the same model in PyKEEN, by every tie policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pykeen.evaluation import RankBasedEvaluator
from torch import Tensor

import kge_data
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.metrics.ranks import Policy
from mulde.pykeen import factories, to_pykeen
from mulde.pykeen.models import ScorerModel

NAMES = {
    "mrr": "inverse_harmonic_mean_rank", "mr": "arithmetic_mean_rank",
    "hits@1": "hits_at_1", "hits@3": "hits_at_3", "hits@10": "hits_at_10",
}  # fmt: skip


POLICIES: tuple[Policy, ...] = ("optimistic", "realistic", "pessimistic")


class Coarse:
    """A model and its copy in PyKEEN that both round their scores, so that many candidates tie."""

    def __init__(self, model: KGEModel, network: ScorerModel):
        self.model, exact = model, network.score_t
        network.score_t = lambda *query, **options: exact(*query, **options).round()  # type: ignore[method-assign]

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return ((rows, scores.round()) for rows, scores in self.model.blocks(heads, relations))


@pytest.mark.parametrize("graph", ["nations", "umls"])
@pytest.mark.parametrize("scorer", [RotH, RefH, RotE])
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_equal_pykeens(graph: str, scorer: type[Scorer], ties: bool, _cache: None) -> None:
    triples = kge_data.load(graph)
    config = ModelConfig(dim=4, init_scale=0.3, dtype="float64")
    model = KGEModel(scorer, triples.num_entities, triples.num_relations, config, seed=1)
    network = to_pykeen(model, triples)
    ours = evaluate(Coarse(model, network) if ties else model, triples)

    training, validation, testing = factories(triples)
    theirs = RankBasedEvaluator(filtered=True).evaluate(
        network,
        testing.mapped_triples,
        additional_filter_triples=[training.mapped_triples, validation.mapped_triples],
        batch_size=64,
        use_tqdm=False,
    )
    for policy in POLICIES:
        for name, value in ours.metrics(policy).items():
            if name in NAMES:  # PyKEEN averages ranks in float32, hence a relative tolerance for the mean rank
                expected = theirs.get_metric(f"both.{policy}.{NAMES[name]}")
                assert value == pytest.approx(expected, rel=1e-6, abs=1e-6), (policy, name)
    assert (ours.metrics("optimistic")["mrr"] > ours.metrics("pessimistic")["mrr"] + 0.01) == ties
    for side, metrics in ours.by_direction().items():
        assert metrics["mrr"] == pytest.approx(theirs.get_metric(f"{side}.realistic.{NAMES['mrr']}"), abs=1e-6)
