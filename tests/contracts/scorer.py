"""Contract tests of scoring functions, as classes and in a model.

    def test_contract():
        check_scorer(MyScorer, restated=my_naive_query)

`restated` is the formula of the query point, written naively on lists of mpmath numbers (see
`tests/geometry/restatement.py`); it receives the head and the relation's parameters by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.testing import assert_close

from mulde import catalogue
from mulde.errors import UsageError
from mulde.kge.model import scoring
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.scoring import Queries
from tests.kge.scorers.restated import Restated, scalar_score

Ids = tuple[Tensor, Tensor, Tensor]

SCORERS: list[type[Scorer]] = [catalogue.find("scorers", name) for name, _ in catalogue.names("scorers")]
ENTITIES, RELATIONS = 40, 3  # of the user: a model has 6 internal relations
DIMENSION = 6
CLOSE = {torch.float64: {"rtol": 1e-11, "atol": 1e-12}, torch.float32: {"rtol": 1e-4, "atol": 1e-5}}


def check_scorer(scorer: type[Scorer], restated: Restated | None = None) -> None:
    """Raise AssertionError with the property that does not hold."""
    if restated is not None:
        equals_its_restatement(scorer, restated, triples=50)
    three_forms_agree(scorer)
    slicing_changes_nothing(scorer)
    every_broadcast_agrees(scorer)
    gradients_of_candidates_are_those_of_compare(scorer)
    every_table_learns(scorer)
    gradients_are_finite_at_the_edges(scorer)
    meets_its_flat_limit(scorer)
    reset_is_reproducible(scorer)
    state_round_trip_preserves_scores(scorer)
    refuses_what_cannot_be(scorer)


def configurations(scorer: type[Scorer], dtype: str = "float64") -> Iterator[ModelConfig]:
    """Every kind of curvature, distance, bias and parametrization that the scorer allows."""
    kinds = ("global", "per-relation", "fixed") if scorer.hyperbolic() else ("global",)
    for curvature, bias in itertools.product(kinds, ("none", "shared", "separate")):
        yield ModelConfig(dim=DIMENSION, curvature=curvature, bias=bias, dtype=dtype)  # type: ignore[arg-type]
    if scorer.hyperbolic():
        yield ModelConfig(dim=DIMENSION, curvature="fixed", bias="separate", dtype=dtype, parametrization="manifold")  # type: ignore[arg-type]
        yield ModelConfig(dim=DIMENSION, distance="lorentz", dtype=dtype)  # type: ignore[arg-type]


def model_of(scorer: type[Scorer], config: ModelConfig, spread: float = 0.25, seed: int = 0) -> KGEModel:
    """A model as in mid-training: vectors of some length, different biases and curvatures."""
    model = KGEModel(scorer, ENTITIES, RELATIONS, replace(config, init_scale=spread), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name or name == "raw_curvature":
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model


def queries(count: int, seed: int = 0) -> Ids:
    """Random heads, internal relations and tails (count,)."""
    generator = torch.Generator().manual_seed(seed)
    heads, tail_ids = torch.randint(ENTITIES, (2, count), generator=generator)
    return heads, torch.randint(2 * RELATIONS, (count,), generator=generator), tail_ids


def equals_its_restatement(scorer: type[Scorer], restated: Restated, triples: int) -> None:
    """In float64, squared distances to a relative 1e-10, in every configuration."""
    chosen = list(configurations(scorer))
    for number, config in enumerate(chosen):
        model = model_of(scorer, config)
        heads, relations, tail_ids = queries(-(-triples // len(chosen)), seed=number)
        found = model.score(heads, relations, tail_ids).tolist()
        for score, *triple in zip(found, heads.tolist(), relations.tolist(), tail_ids.tolist(), strict=True):
            expected, squared = scalar_score(model, restated, *triple)
            error = abs(float(score - expected))
            assert error <= 1e-10 * abs(float(squared)) + 1e-13, f"{scorer.__name__} {config} {triple}: off by {error}"


def three_forms_agree(scorer: type[Scorer]) -> None:
    """Scores by triple, by candidates and of all tails are equal in both precisions."""
    heads, relations, tail_ids = queries(30)
    for dtype in ("float64", "float32"):
        for config in configurations(scorer, dtype):
            model = model_of(scorer, config)
            close = CLOSE[model.entity.dtype]
            every = model.score_all(heads, relations)
            assert every.shape == (30, ENTITIES)
            assert every.dtype == model.entity.dtype and not every.requires_grad
            ids = torch.arange(ENTITIES).expand(30, ENTITIES)
            assert_close(model.score(heads, relations, ids).detach(), every, **close)
            single = model.score(heads, relations, tail_ids).detach()
            assert single.shape == (30,)
            assert_close(single, every.gather(1, tail_ids.unsqueeze(1)).squeeze(1), **close)


def slicing_changes_nothing(scorer: type[Scorer]) -> None:
    """Scores do not depend on the batch; `blocks` yields every query once; `top` has the best entities."""
    heads, relations, _ = queries(30)
    for config in configurations(scorer):
        model = model_of(scorer, config)
        every = model.score_all(heads, relations)
        rows = torch.randperm(30, generator=torch.Generator().manual_seed(0))
        for part in (rows, rows[:1], rows[:7], rows[:0]):
            assert_close(model.score_all(heads[part], relations[part]), every[part], **CLOSE[torch.float64])
        delivered = []
        for block_rows, scores in model.blocks(heads, relations):
            delivered += block_rows.tolist()
            assert_close(scores, every[block_rows], **CLOSE[torch.float64])
        assert sorted(delivered) == list(range(30))
        best = model.top(heads, relations, 5)
        assert torch.equal(best.sort(1).values, every.topk(5).indices.sort(1).values)


def every_broadcast_agrees(scorer: type[Scorer]) -> None:
    """`compare` pairs (b, d) with (b, d), (b, 1, d) with (b, c, d) or (e, d), and single vectors."""
    heads, relations, tail_ids = queries(12)
    ids = torch.arange(36).view(12, 3)
    for config in configurations(scorer):
        model = model_of(scorer, replace(config, bias="none"))
        points, table = model.query(heads, relations), model.tails()
        every = model.score_all(heads, relations)
        c = points.curvature
        column = c.unsqueeze(-1) if c is not None and c.dim() else c
        one = c[4] if c is not None and c.dim() else c
        vectors, x = table.vectors, points.points
        for found, expected in [
            (
                scoring.compare(x, vectors[tail_ids], c, table.space),
                every.gather(1, tail_ids.unsqueeze(1)).squeeze(1),
            ),
            (scoring.compare(x.unsqueeze(1), vectors[ids], column, table.space), every.gather(1, ids)),
            (scoring.compare(x.unsqueeze(1), vectors, column, table.space), every),
            (scoring.compare(x[4], vectors, one, table.space), every[4]),
            (scoring.compare(x[4], vectors[9], one, table.space), every[4, 9]),
        ]:
            assert_close(found.detach(), expected, **CLOSE[torch.float64])


def gradients_of_candidates_are_those_of_compare(scorer: type[Scorer]) -> None:
    """The written backward pass against autograd, for candidates that repeat; to a relative 1e-9."""
    heads, relations, _ = queries(10)
    ids = torch.randint(ENTITIES, (10, 7), generator=torch.Generator().manual_seed(3))
    weights = torch.randn(10, 7, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for config in configurations(scorer):
        model = model_of(scorer, config)
        learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
        points, table = model.query(heads, relations), model.tails()
        c = points.curvature
        column = c.unsqueeze(-1) if c is not None and c.dim() else c
        reference = scoring.compare(points.points.unsqueeze(1), table.vectors[ids], column, table.space)
        if config.bias != "none":
            reference = reference + model.head_bias[heads].unsqueeze(1) + model.tail_bias[ids]
        fast = model.score(heads, relations, ids)
        gradients = [
            torch.autograd.grad((weights * scores).sum(), list(learned.values()), allow_unused=True)
            for scores in (reference, fast)
        ]
        for name, expected, found in zip(learned, *gradients, strict=True):
            assert expected is not None and found is not None, f"{scorer.__name__}: no gradient for {name}"
            assert_close(found, expected, rtol=1e-9, atol=1e-11, msg=lambda text, n=name: f"{n}: {text}")


def every_table_learns(scorer: type[Scorer]) -> None:
    """Every parameter that requires a gradient gets one from a batch with every relation."""
    heads, relations, tail_ids = queries(200)
    for config in configurations(scorer):
        model = model_of(scorer, config)
        model.score(heads, relations, tail_ids).square().sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and parameter.grad.count_nonzero() > 0, f"{name} learns nothing"


def gradients_are_finite_at_the_edges(scorer: type[Scorer]) -> None:
    """At zero, inside, beyond the cap and far out; curvature 1e-8 to 10; both precisions."""
    heads, relations, tail_ids = queries(20)
    tail_ids[:3] = heads[:3]  # an entity with itself
    curvatures = (1e-8, 1e-4, 0.1, 1.0, 10.0) if scorer.hyperbolic() else (1.0,)
    lengths = (0.0, 1e-9, 1.0, 6.0, 14.0)
    for curvature, dtype, length in itertools.product(curvatures, ("float64", "float32"), lengths):
        model = KGEModel(scorer, ENTITIES, RELATIONS, ModelConfig(dim=DIMENSION, dtype=dtype))  # type: ignore[arg-type]
        vectors = [model.relation[name] for name, kind in scorer.relation.items() if kind == "vector"]
        with torch.no_grad():
            for table in (model.entity, *vectors):
                table.mul_(length / curvature**0.5 / table.norm(dim=-1, keepdim=True))
        c = torch.full((20,), curvature, dtype=model.entity.dtype, requires_grad=True)
        score = scored(model, c, heads, relations, tail_ids.unsqueeze(1))
        score.sum().backward()
        where = f"at √c|v| = {length}, c = {curvature}, {dtype}"
        assert torch.isfinite(score).all(), f"score {where}"
        for name, parameter in [("curvature", c), *model.named_parameters()]:
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), f"gradient of {name} {where}"


def meets_its_flat_limit(scorer: type[Scorer]) -> None:
    """As the curvature vanishes, -4|q - t|² + biases with the flat query; the deviation falls with it."""
    if not scorer.hyperbolic():
        return
    heads, relations, tail_ids = queries(20)
    model = model_of(scorer, ModelConfig(dim=DIMENSION, dtype="float64"), spread=0.5)
    parameters = {name: table[relations] for name, table in model.relation.items()}
    flat = scorer.query(model.entity[heads], **parameters, curvature=torch.zeros((), dtype=torch.float64))
    limit = -4 * (flat - model.entity[tail_ids]).square().sum(-1) + model.head_bias[heads] + model.tail_bias[tail_ids]
    deviations = []
    for curvature in (1e-6, 1e-8):
        c = torch.tensor(curvature, dtype=torch.float64)
        found = scored(model, c, heads, relations, tail_ids.unsqueeze(1)).squeeze(1)
        deviations.append((found - limit).abs().max().item())
    assert deviations[0] < 1e-3
    assert deviations[1] < 0.02 * deviations[0], f"1e-6: {deviations[0]}, 1e-8: {deviations[1]}"


def scored(model: KGEModel, curvature: Tensor, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
    """Scores (b, c) of candidates with a model's tables at another curvature, also below a model's floor."""
    parameters = {name: table[relations] for name, table in model.relation.items()}
    own = {"curvature": curvature} if model.scorer.hyperbolic() else {}
    points = model.scorer.query(model.entity[heads], **parameters, **own)
    return scoring.candidates(Queries(points, own.get("curvature"), model.head_bias[heads]), model.tails(), ids)


def reset_is_reproducible(scorer: type[Scorer]) -> None:
    """Initial tables depend on the seed only, not on the global random state, which is unchanged."""
    config = ModelConfig(dim=DIMENSION)
    torch.manual_seed(1)
    first = KGEModel(scorer, ENTITIES, RELATIONS, config, seed=5).state_dict()
    state = torch.get_rng_state()
    second = KGEModel(scorer, ENTITIES, RELATIONS, config, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = KGEModel(scorer, ENTITIES, RELATIONS, config, seed=6).state_dict()
    assert not torch.equal(first["entity"], other["entity"])


def state_round_trip_preserves_scores(scorer: type[Scorer]) -> None:
    heads, relations, _ = queries(10)
    for config in configurations(scorer):
        model = model_of(scorer, config)
        restored = KGEModel(scorer, ENTITIES, RELATIONS, config, seed=99)
        restored.load_state_dict(model.state_dict())
        assert torch.equal(restored.score_all(heads, relations), model.score_all(heads, relations))


def refuses_what_cannot_be(scorer: type[Scorer]) -> None:
    """Odd dimensions for pairs of coordinates, and manifold points with learned curvature; exact messages."""
    odd = _complaint(scorer, ModelConfig(dim=33))
    name = scorer.__name__
    if scorer.pairs_coordinates():
        assert odd == f"{name} pairs coordinates, so `dim` must be even; got 33; use 32 or 34"
    else:
        assert odd is None
    for curvature in ("global", "per-relation", *(() if scorer.hyperbolic() else ("fixed",))):
        complaint = _complaint(scorer, ModelConfig(dim=DIMENSION, curvature=curvature, parametrization="manifold"))  # type: ignore[arg-type]
        assert complaint == (
            "parametrization 'manifold' needs a hyperbolic scorer and curvature 'fixed', because its points belong to "
            f"one ball; got {name} with curvature '{curvature}'; use parametrization 'tangent', or fix the curvature"
        )


def _complaint(scorer: type[Scorer], config: ModelConfig) -> str | None:
    try:
        KGEModel(scorer, ENTITIES, RELATIONS, config)
    except UsageError as error:
        return str(error)
    return None
