"""Supervised, Average and MulDE: the contract, the losses by hand, and special values of the options."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from mulde.engine import Clock, Method, OptimizerSpec, Trainer
from mulde.errors import UsageError
from mulde.kge.feeds import QueryBatch, QueryFeed
from mulde.kge.losses import hard_loss
from mulde.kge.methods import average
from mulde.kge.methods.average import Average
from mulde.kge.methods.mulde import Config, MulDE
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.senior import SMOOTHING
from mulde.kge.training import supervised
from mulde.kge.training.presets import configured, defaults
from mulde.kge.training.supervised import Supervised
from mulde.losses.hard_labels import binary, binary_first_true, cross_entropy_first_true
from mulde.losses.soft_labels import soft_kl
from tests.contracts.method import check_method
from tests.kge import toys

GRAPH = toys.toy_graph()


def mulde(config: Config | None = None, **changes: Any) -> MulDE:
    config = config or toys.options(Config, **{"top_k": 8, **changes})
    return MulDE(toys.model(GRAPH), toys.ensemble(GRAPH), config)


def mean(scorers: tuple[type[Scorer], ...] = toys.FOUR, **changes: Any) -> Average:
    config = toys.options(average.Config, **{"top_k": 8, **changes})
    return Average(toys.model(GRAPH), toys.ensemble(GRAPH, scorers), config)


def baseline(model: KGEModel | None = None, **changes: Any) -> Supervised:
    return Supervised(model or toys.model(GRAPH), toys.options(supervised.Config, **changes))


METHODS: dict[str, Callable[[], Method]] = {
    "supervised": baseline,
    "supervised, cross entropy": lambda: baseline(toys.model(GRAPH, RotE), loss="cross-entropy"),
    "average, one teacher": lambda: mean((RefH,)),
    "average": lambda: mean(temperature=2.0),
    "mulde, paper": lambda: mulde(configured(Config, "paper", top_k=8)),
    "mulde, recommended": lambda: mulde(configured(Config, top_k=8)),
    "mulde, no soft loss": lambda: mulde(soft_weight=0.0),
    "mulde, no scaling": lambda: mulde(scaling=False),
    "mulde, no attention": lambda: mulde(attention=False),
    "mulde, gates by hard labels only": lambda: mulde(soft_trains_senior=False),
    "mulde, gates by soft labels only": lambda: mulde(senior_hard=False),
    "mulde, gates by nothing": lambda: mulde(senior_hard=False, soft_trains_senior=False),
    "mulde, queries on a third": lambda: mulde(teacher_query_fraction=0.3),
    "mulde, attention by the other divergence": lambda: mulde(attention_reverse=True, attention_gradient=True),
    "mulde, known answers masked": lambda: mulde(mask_known=True),
    "mulde, random candidates": lambda: mulde(random_candidates=4, include_target=True),
}


@pytest.mark.parametrize("name", METHODS)
def test_contract(name: str) -> None:
    check_method(lambda: (METHODS[name](), toys.batch(GRAPH, known=True)))


def candidates_of(method: MulDE, batch: QueryBatch) -> torch.Tensor:
    return method.config.querying.candidates(method.junior, batch)


def train(method: Method, epochs: int = 2, steps: int | None = None) -> None:
    optimizers = OptimizerSpec("adam", lr=1e-2)
    limit: dict[str, Any] = {"epochs": epochs} if steps is None else {"steps": steps}
    Trainer(optimizers=optimizers, seed=0, progress=False).fit(method, toys.feed(GRAPH), name=None, **limit)


def assert_same_weights(first: torch.nn.Module, second: torch.nn.Module) -> None:
    before, after = first.state_dict(), second.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_one_teacher_is_ordinary_distillation_bit_for_bit(temperature: float) -> None:
    """MulDE with one teacher, gates fixed at 1 and the Senior's loss off, over an epoch of updates."""
    single = mean((RefH,), temperature=temperature)
    config = toys.options(Config, top_k=8, temperature=temperature, scaling=False, senior_hard=False)
    reduced = MulDE(toys.model(GRAPH), toys.ensemble(GRAPH, (RefH,)), config)
    for method in (single, reduced):
        train(method, epochs=1)
    assert_same_weights(single.junior, reduced.junior)
    untrained = toys.model(GRAPH)
    assert not torch.equal(untrained.entity, single.junior.entity)


def test_several_teachers_without_senior_are_their_plain_average_bit_for_bit() -> None:
    plain = mean()
    reduced = mulde(scaling=False, attention=False)
    for method in (plain, reduced):
        train(method, epochs=1)
    assert_same_weights(plain.junior, reduced.junior)


@pytest.mark.parametrize("changes", [{}, {"scaling": False}, {"senior_hard": False}, {"random_candidates": 3}])
def test_no_soft_weight_is_no_distillation_bit_for_bit(changes: dict[str, Any]) -> None:
    """γ = 0, with all other parts of MulDE."""
    plain = baseline()
    distilled = mulde(soft_weight=0.0, **changes)
    for method in (plain, distilled):
        train(method)
    assert_same_weights(plain.model, distilled.junior)


def test_soft_weight_changes_the_junior() -> None:
    """The equality above is not trivial."""
    plain, distilled = baseline(), mulde(soft_weight=0.01)
    for method in (plain, distilled):
        train(method, epochs=1)
    assert not torch.equal(plain.model.entity, distilled.junior.entity)
    assert not torch.equal(distilled.senior.weights, torch.ones_like(distilled.senior.weights))


def test_hard_loss_of_corrupted_tails() -> None:
    model, batch = toys.model(GRAPH), toys.batch(GRAPH)
    slots = torch.cat([batch.tails.unsqueeze(1), batch.negatives], 1)
    scores = model.score_all(batch.heads, batch.relations).gather(1, slots)
    assert_close(hard_loss(model, batch).detach(), binary_first_true(scores), rtol=1e-11, atol=0)
    found = hard_loss(model, batch, "cross-entropy").detach()
    assert_close(found, cross_entropy_first_true(scores), rtol=1e-11, atol=0)


def test_hard_loss_of_corrupted_heads_and_tails() -> None:
    """The negatives of a row are (its negative head n, its relation, its negative tail n)."""
    model, batch = toys.model(GRAPH), next(iter(QueryFeed(GRAPH, 6, 4, corrupt="both")))
    assert batch.negative_heads is not None
    true = model.score(batch.heads, batch.relations, batch.tails).unsqueeze(1)
    columns = [
        model.score_all(heads, batch.relations).gather(1, tails.unsqueeze(1))
        for heads, tails in zip(batch.negative_heads.T, batch.negatives.T, strict=True)
    ]
    scores = torch.cat([true, *columns], 1)
    assert_close(hard_loss(model, batch), binary_first_true(scores), rtol=1e-11, atol=0)


def test_losses_of_mulde_by_hand() -> None:
    """The formulas of MulDE's review-time code, in epoch 12, where τ = e²."""
    method, batch = mulde(configured(Config, "paper", soft_weight=0.3, top_k=8, temperature=2.0)), toys.batch(GRAPH)
    with torch.no_grad():
        method.senior.weights.copy_(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
        found = method.losses(batch, Clock(step=0, epoch=12, epochs=20, progress=0.6))
        every = method.junior.score_all(batch.heads, batch.relations)
        candidates = every.topk(8).indices
        own = every.gather(1, candidates)
        gates = method.senior.weights[batch.relations].sigmoid().double()
        gated = [
            gates[:, i : i + 1] * teacher.score_all(batch.heads, batch.relations).gather(1, candidates)
            for i, teacher in enumerate(method.ensemble.teachers)
        ]
        junior = own.softmax(1) + 1e-7
        divergence = torch.stack([(junior * (junior / z.softmax(1)).log()).sum(1) for z in gated], 1)
        attention = (-divergence / math.e**2).softmax(1)
        blended = torch.stack([attention[:, i : i + 1] * z for i, z in enumerate(gated)]).sum(0)
        slots = torch.cat([batch.tails.unsqueeze(1), batch.negatives], 1)
        expected = {
            "junior/hard": binary_first_true(every.gather(1, slots)),
            "junior/soft": 0.3 * soft_kl(blended, own, 2.0, SMOOTHING),
            "senior/hard": binary(blended, candidates == batch.tails.unsqueeze(1)),
        }
    assert found.keys() == expected.keys()
    for term, value in expected.items():
        assert_close(found[term], value, rtol=1e-6, atol=0, msg=lambda text, t=term: f"{t}: {text}")


@pytest.mark.parametrize(
    ("epochs", "tau"),
    [((0, 4), 1.0), ((5, 9), 2.7183), ((10, 14), 7.389), ((15, 19), 20.0855), ((20, 24), 54.598)],
)
def test_softness_of_the_attention(epochs: tuple[int, int], tau: float) -> None:
    """e every five epochs; and no overflow after a thousand epochs."""
    for epoch in epochs:
        assert mulde().tau(Clock(0, epoch, 1000, 0.0)) == pytest.approx(tau, rel=1e-4)
    assert mulde().tau(Clock(0, 999, 1000, 0.0)) == 1e6


def test_candidates_are_the_best_of_the_junior_now() -> None:
    method, batch = mulde(), toys.batch(GRAPH)
    every = method.junior.score_all(batch.heads, batch.relations)
    candidates = candidates_of(method, batch)
    assert torch.equal(candidates.sort(1).values, every.topk(8).indices.sort(1).values)
    train(method, epochs=1)
    assert not torch.equal(candidates_of(method, batch).sort(1).values, candidates.sort(1).values)


def test_the_target_is_put_in_where_it_is_missing_and_only_there() -> None:
    plain, forced, batch = mulde(), mulde(include_target=True), toys.batch(GRAPH)
    before, after = candidates_of(plain, batch), candidates_of(forced, batch)
    present = (before == batch.tails.unsqueeze(1)).any(1)
    assert 0 < present.sum() < len(present)
    assert ((after == batch.tails.unsqueeze(1)).sum(1) == 1).all()
    assert torch.equal(after[present].sort(1).values, before[present].sort(1).values)
    missing = ~present
    rows = zip(after[missing].tolist(), before[missing].tolist(), batch.tails[missing].tolist(), strict=True)
    assert all(set(now) - {target} < set(then) for now, then, target in rows)


def test_more_candidates_than_entities() -> None:
    for force in (False, True):
        candidates = candidates_of(mulde(top_k=500, include_target=force), toys.batch(GRAPH))
        assert candidates.sort(1).values.tolist() == [list(range(GRAPH.num_entities))] * 20


def test_random_candidates_come_after_the_best() -> None:
    method, batch = mulde(random_candidates=200), toys.batch(GRAPH)
    candidates = candidates_of(method, batch)
    assert candidates.shape == (20, 208)
    assert torch.equal(candidates[:, :8].sort(1).values, candidates_of(mulde(), batch).sort(1).values)
    assert set(candidates[:, 8:].flatten().tolist()) == set(range(GRAPH.num_entities))


def test_presets() -> None:
    paper = configured(Config, "paper")
    assert (paper.soft_weight, paper.querying.top_k, paper.temperature, paper.tau_epochs) == (0.5, 500, 1.0, 5)
    assert paper.attention_gradient and not paper.querying.include_target and paper.querying.random_candidates == 0
    assert (paper.training.negatives, paper.model.curvature) == (255, "global")
    assert not configured(Config).attention_gradient
    assert configured(Config, "paper", soft_weight=0.01).soft_weight == 0.01
    assert configured(Config, "paper", "wn18rr").soft_weight == 0.01
    four = {"teacher": ("hyperbolic_transe", "disth", "roth", "refh")}
    assert defaults({"preset": "paper"}, frozenset(four)) == four


def test_a_float32_junior_learns_from_float64_teachers() -> None:
    """One precision inside the Junior's loss, in both methods alike."""

    def junior() -> KGEModel:
        return KGEModel(RotH, GRAPH.num_entities, GRAPH.num_relations, ModelConfig(dim=4))

    ensemble = toys.ensemble(GRAPH)
    for method in (
        Average(junior(), ensemble, toys.options(average.Config, top_k=8)),
        MulDE(junior(), ensemble, toys.options(Config, top_k=8)),
    ):
        for term, value in method.losses(toys.batch(GRAPH), toys.BEGINNING).items():
            assert value.dtype == torch.float32, term


def test_other_known_answers_are_left_out_of_the_seniors_hard_loss_only() -> None:
    """By hand, candidate by candidate; nothing else of the method changes."""
    batch = toys.batch(GRAPH, known=True)
    plain, masking = mulde(), mulde(mask_known=True)
    before, after = plain.losses(batch, toys.BEGINNING), masking.losses(batch, toys.BEGINNING)
    queries = {(h, 2 * r, t) for h, r, t in GRAPH.train.tolist()} | {
        (t, 2 * r + 1, h) for h, r, t in GRAPH.train.tolist()
    }
    candidates = candidates_of(plain, batch)
    own = plain.junior.score(batch.heads, batch.relations, candidates)
    blended = plain.senior(plain.ensemble.score(batch.heads, batch.relations, candidates), own, batch.relations)
    kept = []
    for b, row in enumerate(candidates.tolist()):
        head, relation, target = batch.heads[b].item(), batch.relations[b].item(), batch.tails[b].item()
        for c, entity in enumerate(row):
            if entity == target or (head, relation, entity) not in queries:
                kept.append(binary(blended[b, c], torch.tensor(entity == target)))
    assert 0 < len(kept) < candidates.numel()
    assert_close(after["senior/hard"], torch.stack(kept).mean())
    assert not torch.isclose(after["senior/hard"], before["senior/hard"])
    assert torch.equal(before["junior/hard"], after["junior/hard"])
    assert torch.equal(before["junior/soft"], after["junior/soft"])


def test_queried_batches_weigh_more_the_fewer_they_are() -> None:
    """Every third batch of the first thirty; the hard loss stays as it is."""
    batch = toys.batch(GRAPH)
    some, whole = mulde(teacher_query_fraction=1 / 3), mulde()
    queried_steps = [
        step for step in range(30) if "junior/soft" in some.losses(batch, replace(toys.BEGINNING, step=step))
    ]
    assert queried_steps == list(range(0, 30, 3))
    assert set(some.losses(batch, replace(toys.BEGINNING, step=1))) == {"junior/hard"}
    terms, all_queried = some.losses(batch, toys.BEGINNING), whole.losses(batch, toys.BEGINNING)
    assert_close(terms["junior/hard"], all_queried["junior/hard"])
    assert_close(terms["junior/soft"], 3 * all_queried["junior/soft"])
    assert_close(terms["senior/hard"], 3 * all_queried["senior/hard"])


@pytest.mark.parametrize(("entities", "given", "fraction"), [(9_999, None, 1), (10_000, None, 0.05), (10_000, 1.0, 1)])
def test_on_a_large_graph_few_batches_are_queried_by_default(
    entities: int, given: float | None, fraction: float
) -> None:
    junior = KGEModel(RotE, entities, 1, ModelConfig(dim=2))
    config = toys.options(Config, teacher_query_fraction=given)
    assert MulDE(junior, Ensemble([junior]), config).fraction == fraction


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5])
def test_an_impossible_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(
        UsageError, match="`teacher_query_fraction` should be a number above 0 and at most 1 or empty, got"
    ):
        mulde(teacher_query_fraction=fraction)
