"""Contract tests of scorers in PyKEEN: model and interaction.

def test_contract():
    check_in_pykeen(MyScorer)
"""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor
from torch.testing import assert_close

from kge_data.inverse import forward_id, reciprocal_id
from kge_data.tripleset import TripleSet
from mulde.kge.model.config import CURVATURE_FLOOR, ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.pykeen import from_pykeen, to_pykeen
from mulde.pykeen.models import ScorerModel
from tests.contracts.scorer import ENTITIES, RELATIONS, configurations, model_of

CLOSE = {torch.float64: {"rtol": 1e-10, "atol": 1e-12}, torch.float32: {"rtol": 1e-4, "atol": 1e-5}}
GRAPH = TripleSet(
    "numbers",
    *(np.array([[0, 0, 1]]) for _ in range(3)),
    entities=tuple(f"{number:03d}" for number in range(ENTITIES)),
    relations=tuple(f"r{number}" for number in range(RELATIONS)),
)


def check_in_pykeen(scorer: type[Scorer]) -> None:
    """Raise AssertionError with the property that does not hold."""
    for number, config in enumerate(configurations(scorer)):
        model = model_of(scorer, config)
        network = to_pykeen(model, GRAPH)
        same_parameters_give_the_same_scores(model, network)
        four_forms_agree(network)
        if number == 0:  # of the interaction, whatever the configuration
            slicing_changes_nothing(network)
            survives_pickling(network)
        every_table_learns(network)
        comes_back_bit_for_bit(model, network)
        resets_to_the_initial_values_of_our_model(model, network)
    model = model_of(scorer, next(iter(configurations(scorer, "float32"))))
    same_parameters_give_the_same_scores(model, to_pykeen(model, GRAPH))


def same_parameters_give_the_same_scores(model: KGEModel, network: ScorerModel) -> None:
    """Every query, by internal ids and by user ids: predict_t is (h, r, ?), predict_h is (?, r, t)."""
    heads, relations = (ids.flatten() for ids in _all_pairs(ENTITIES, 2 * RELATIONS))
    close = CLOSE[model.entity.dtype]
    ours = model.score_all(heads, relations)
    with torch.no_grad():
        assert_close(network.score_t(torch.stack([heads, relations], 1)), ours, **close)
        entities, users = (ids.flatten() for ids in _all_pairs(ENTITIES, RELATIONS))
        tail_scores = network.predict_t(torch.stack([entities, users], 1))
        head_scores = network.predict_h(torch.stack([users, entities], 1))
    assert_close(tail_scores, model.score_all(entities, forward_id(users)), **close)
    assert_close(head_scores, model.score_all(entities, reciprocal_id(users)), **close)


@torch.no_grad()
def four_forms_agree(network: ScorerModel) -> None:
    """The score of a triple as one of a batch, among its tails, among its heads, and among its relations."""
    triples = _triples()
    h, r, t = triples.T
    row = torch.arange(len(triples))
    single = network.score_hrt(triples)
    assert single.shape == (len(triples), 1)
    for scores, ids, width in (
        (network.score_t(triples[:, :2]), t, ENTITIES),
        (network.score_h(triples[:, 1:]), h, ENTITIES),
        (network.score_r(triples[:, [0, 2]]), r, 2 * RELATIONS),
    ):
        assert scores.shape == (len(triples), width)
        assert_close(scores[row, ids], single.squeeze(1), **CLOSE[single.dtype])


@torch.no_grad()
def slicing_changes_nothing(network: ScorerModel) -> None:
    """Slices, shared candidates and candidates that differ by row are parts of the whole."""
    triples = _triples()
    close = CLOSE[torch.float64]
    candidates = torch.randint(2 * RELATIONS, (len(triples), 4), generator=torch.Generator().manual_seed(3))
    for score, batch, name in (
        (network.score_t, triples[:, :2], "tails"),
        (network.score_h, triples[:, 1:], "heads"),
        (network.score_r, triples[:, [0, 2]], "relations"),
    ):
        every = score(batch)
        assert_close(score(batch, slice_size=3), every, **close)
        assert_close(score(batch, **{name: candidates[0]}), every[:, candidates[0]], **close)
        assert_close(score(batch, **{name: candidates}), every.gather(1, candidates), **close)


def every_table_learns(network: ScorerModel) -> None:
    """A loss reaches every parameter, and its gradient is finite."""
    network.zero_grad()
    network.score_hrt(_triples()).square().sum().backward()
    for name, table in network.tables().items():
        assert table.grad is not None and table.grad.isfinite().all() and table.grad.any(), name
    named = {id(table) for table in network.tables().values()}
    assert named == {id(parameter) for parameter in network.parameters()}


def comes_back_bit_for_bit(model: KGEModel, network: ScorerModel) -> None:
    """Conversion to PyKEEN and back gives an equal model."""
    back = from_pykeen(network)
    assert (back.scorer, back.num_entities, back.num_relations) == (model.scorer, ENTITIES, RELATIONS)
    expected, found = dict(model.state_dict()), back.state_dict()
    if model.config.curvature == "fixed":  # the raw parameter has no effect then
        expected.pop("raw_curvature", None)
    assert expected.keys() <= found.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@torch.no_grad()
def survives_pickling(network: ScorerModel) -> None:
    """Models are pickled as PyKEEN saves them, with the class by name."""
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    opened = torch.load(file, weights_only=False)
    assert type(opened) is type(network)
    assert torch.equal(opened.score_hrt(_triples()), network.score_hrt(_triples()))


def resets_to_the_initial_values_of_our_model(model: KGEModel, network: ScorerModel) -> None:
    """The reset before PyKEEN's training draws other numbers with the same spread, curvature and biases."""
    config: ModelConfig = model.config
    start = KGEModel(model.scorer, ENTITIES, RELATIONS, config)
    network.reset_parameters_()
    for name, table in network.tables().items():
        expected = start.state_dict()[name]
        assert table.numel() == expected.numel(), name
        if "bias" in name or name == "raw_curvature":
            assert_close(table.detach().reshape(expected.shape), expected, rtol=1e-6, atol=0.0)
        else:
            assert 0.6 < table.std().item() / expected.std().item() < 1.6, name
            assert not torch.equal(table, expected)
    if config.curvature == "per-relation" and model.scorer.hyperbolic():
        curvature = torch.nn.functional.softplus(network.tables()["raw_curvature"].detach()) + CURVATURE_FLOOR
        assert_close(curvature, torch.full_like(curvature, config.initial_curvature), rtol=1e-6, atol=0.0)


def _all_pairs(first: int, second: int) -> tuple[Tensor, Tensor]:
    return torch.meshgrid(torch.arange(first), torch.arange(second), indexing="ij")


def _triples() -> Tensor:
    generator = torch.Generator().manual_seed(7)
    heads, tails = torch.randint(ENTITIES, (2, 12), generator=generator)
    return torch.stack([heads, torch.randint(2 * RELATIONS, (12,), generator=generator), tails], 1)
