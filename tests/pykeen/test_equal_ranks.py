"""Our evaluation of our model equals PyKEEN's evaluation of the same model in PyKEEN, by every tie policy.

The protocols for entities that are in train only, and without the query entity, are compared with PyKEEN's data sets
and filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pykeen.evaluation import MetricResults, RankBasedEvaluator
from pykeen.triples import TriplesFactory
from torch import Tensor

import kge_data
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.link_prediction import LinkPrediction, evaluate
from mulde.kge.evaluation.protocols import protocol_called
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.metrics.ranks import Policy
from mulde.pykeen import factories, to_pykeen
from mulde.pykeen.graphs import triple_set
from mulde.pykeen.models import ScorerModel
from tests.kge import toys

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

    theirs = by_pykeen(network, *factories(triples))
    compare(ours, theirs)
    assert (ours.metrics("optimistic")["mrr"] > ours.metrics("pessimistic")["mrr"] + 0.01) == ties
    for side, metrics in ours.by_direction().items():
        assert metrics["mrr"] == pytest.approx(theirs.get_metric(f"{side}.realistic.{NAMES['mrr']}"), abs=1e-6)


@pytest.mark.parametrize("protocol", ["strict", "no-self", "pykeen-wn18rr", "seen-no-self"])
def test_protocols_equal_pykeens(protocol: str, _cache: None) -> None:
    graph, rules = toys.toy_graph(entities=60), protocol_called(protocol)
    model = toys.model(graph, RotE)
    ours = evaluate(model, graph, protocol=protocol)
    splits = factories(graph) if rules.unseen else labelled(graph)
    assert len(ours.triples) == splits[2].num_triples
    assert (len(ours.triples) < len(graph.test)) == (not rules.unseen)  # PyKEEN drops some
    own = graph if rules.unseen else triple_set(*splits)
    network = to_pykeen(cropped(model, graph, own), own)
    h, r, t = splits[2].mapped_triples.T
    loops = [] if rules.query_entity else [torch.stack(each, 1) for each in ((h, r, h), (t, r, t))]
    compare(ours, by_pykeen(network, *splits, more=loops))


def labelled(graph: TripleSet) -> tuple[TriplesFactory, TriplesFactory, TriplesFactory]:
    """The splits as PyKEEN reads them, without entities that are not in train."""
    names, relations = np.array(graph.entities), np.array(graph.relations)
    train, *others = (
        np.stack([names[part[:, 0]], relations[part[:, 1]], names[part[:, 2]]], axis=1)
        for part in (graph.train, graph.valid, graph.test)
    )
    training = TriplesFactory.from_labeled_triples(train, create_inverse_triples=True)
    entities, numbers = training.entity_to_id, training.relation_to_id
    validation, testing = (
        TriplesFactory.from_labeled_triples(part, entity_to_id=entities, relation_to_id=numbers) for part in others
    )
    return training, validation, testing


def cropped(model: KGEModel, graph: TripleSet, smaller: TripleSet) -> KGEModel:
    """The model with the entities of a smaller graph."""
    assert smaller.relations == graph.relations
    rows = torch.tensor([graph.entities.index(name) for name in smaller.entities])
    found = KGEModel(model.scorer, smaller.num_entities, smaller.num_relations, model.config)
    found.load_state_dict(
        {
            name: table[rows] if name in ("entity", "head_bias", "tail_bias") else table
            for name, table in model.state_dict().items()
        }
    )
    return found


def by_pykeen(
    network: ScorerModel,
    training: TriplesFactory,
    validation: TriplesFactory,
    testing: TriplesFactory,
    more: Sequence[Tensor] = (),
) -> MetricResults[Any]:
    """PyKEEN's metrics on the test split, with more triples (n, 3) in the filter."""
    return RankBasedEvaluator(filtered=True).evaluate(
        network,
        testing.mapped_triples,
        additional_filter_triples=[training.mapped_triples, validation.mapped_triples, *more],
        batch_size=64,
        use_tqdm=False,
    )


def compare(ours: LinkPrediction, theirs: MetricResults[Any]) -> None:
    """Metrics of all tie policies are equal."""
    for policy in POLICIES:
        for name, value in ours.metrics(policy).items():
            if name in NAMES:  # PyKEEN averages ranks in float32, hence a relative tolerance for the mean rank
                expected = theirs.get_metric(f"both.{policy}.{NAMES[name]}")
                assert value == pytest.approx(expected, rel=1e-6, abs=1e-6), (policy, name)
