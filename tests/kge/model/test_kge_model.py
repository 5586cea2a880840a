"""KGEModel: sizes, starting values, curvature kinds, storage on the ball, and twins in flat space."""

from __future__ import annotations

import math
from dataclasses import replace

import geoopt
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mulde.geometry.givens import rotate
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.atte import AttE
from mulde.kge.scorers.atth import AttH
from mulde.kge.scorers.diste import DistE
from mulde.kge.scorers.disth import DistH
from mulde.kge.scorers.euclidean_transe import EuclideanTransE
from mulde.kge.scorers.hyperbolic_transe import HyperbolicTransE
from mulde.kge.scorers.refe import RefE
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from tests.contracts.scorer import scored


@pytest.mark.parametrize(
    ("entities", "relations", "dim", "count"),
    [
        (14_541, 237, 32, 539_899),
        (14_541, 237, 64, 1_050_715),
        (40_943, 11, 32, 1_394_175),
        (40_943, 11, 64, 2_706_463),
    ],
)
def test_parameter_counts_of_roth(entities: int, relations: int, dim: int, count: int) -> None:
    """FB15k-237 and WN18RR: (d + 2) per entity, 3d per relation and direction, one global curvature."""
    model = KGEModel(RotH, entities, relations, ModelConfig(dim=dim, curvature="global"))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("kind", ["global", "per-relation"])
@pytest.mark.parametrize("value", [1.3132616875182228, 0.1, 10.0])
def test_initial_curvature_is_that_of_the_options(kind: str, value: float) -> None:
    """Softplus(1) = 1.313262 by default."""
    config = ModelConfig(dim=4, curvature=kind, initial_curvature=value, dtype="float64")  # type: ignore[arg-type]
    curvature = KGEModel(RotH, 5, 3, config).curvature()
    assert curvature is not None
    assert_close(curvature, torch.full_like(curvature, value), rtol=1e-12, atol=0)


def test_default_curvature_is_softplus_of_one() -> None:
    assert ModelConfig().initial_curvature == pytest.approx(math.log(1 + math.e), rel=1e-7)
    fixed = KGEModel(RotH, 5, 3, ModelConfig(dim=4, curvature="fixed")).curvature()
    assert fixed is not None and fixed.item() == pytest.approx(1.313262, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-4, float("nan")])
@pytest.mark.parametrize("kind", ["global", "per-relation", "fixed"])
def test_a_curvature_is_positive(kind: str, value: float) -> None:
    with pytest.raises(
        ValueError, match=r"initial_curvature`? (must be above 0.0001.*; for flat space|should be a number, got nan)"
    ):
        KGEModel(RotH, 5, 3, ModelConfig(dim=4, curvature=kind, initial_curvature=value))  # type: ignore[arg-type]


def test_shapes_of_curvature() -> None:
    relations = torch.tensor([0, 5, 5])
    for kind, shape, every in (("global", (), ()), ("fixed", (), ()), ("per-relation", (3,), (6,))):
        model = KGEModel(RotH, 5, 3, ModelConfig(dim=4, curvature=kind))  # type: ignore[arg-type]
        chosen, all_of_them = model.curvature(relations), model.curvature()
        assert chosen is not None and chosen.shape == shape
        assert all_of_them is not None and all_of_them.shape == every
    assert KGEModel(RotE, 5, 3, ModelConfig(dim=4)).curvature() is None


def test_starting_values() -> None:
    model = KGEModel(RotH, 3000, 500, ModelConfig(dim=8))
    for table in (model.entity, model.relation["before"], model.relation["after"]):
        assert table.std().item() == pytest.approx(1e-3, rel=0.05)
    assert model.relation["rotation"].std().item() == pytest.approx(2 / math.sqrt(12), rel=0.05)
    assert model.relation["rotation"].abs().max() <= 1
    paper = KGEModel(RotH, 3000, 500, ModelConfig(dim=8, rotation_init="normal"))
    assert paper.relation["rotation"].std().item() == pytest.approx(1e-3, rel=0.05)
    assert not model.head_bias.any() and not model.tail_bias.any()


def test_biases() -> None:
    heads, relations, tails = torch.tensor([1]), torch.tensor([0]), torch.tensor([2])
    config = {"dim": 4, "dtype": "float64"}
    none = KGEModel(RotH, 5, 3, ModelConfig(**config, bias="none"))  # type: ignore[arg-type]
    one = KGEModel(RotH, 5, 3, ModelConfig(**config, bias="shared"))  # type: ignore[arg-type]
    two = KGEModel(RotH, 5, 3, ModelConfig(**config, bias="separate"))  # type: ignore[arg-type]
    assert [len(list(model.parameters())) for model in (none, one, two)] == [5, 6, 7]
    bare = none.score(heads, relations, tails).item()
    with torch.no_grad():
        one.head_bias += torch.arange(5.0).double()
        two.head_bias += torch.arange(5.0).double()
        two.tail_bias += 10 * torch.arange(5.0).double()
    assert one.score(heads, relations, tails).item() == pytest.approx(bare + 1 + 2)
    assert two.score(heads, relations, tails).item() == pytest.approx(bare + 1 + 20)


@pytest.mark.parametrize(
    ("hyperbolic", "flat"),
    [(HyperbolicTransE, EuclideanTransE), (DistH, DistE), (RefH, RefE), (AttH, AttE), (RotH, RotE)],
)
def test_flat_twin_is_the_limit(hyperbolic: type[Scorer], flat: type[Scorer]) -> None:
    """Curvature 1e-8: -4|q - t|² + biases, where -|q - t|² is the twin's; RotH: Rot(h + before) + after."""
    config = ModelConfig(dim=6, dtype="float64", init_scale=0.5)
    curved, plain = KGEModel(hyperbolic, 20, 3, config), KGEModel(flat, 20, 3, config)
    with torch.no_grad():
        plain.entity.copy_(curved.entity)
        for name, table in plain.relation.items():
            if hyperbolic is RotH and name == "translation":
                before, after = curved.relation["before"], curved.relation["after"]
                table.copy_(rotate(curved.relation["rotation"], before) + after)
            else:
                table.copy_(curved.relation[name])
    heads, relations = torch.arange(12), torch.arange(12) % 6
    ids = torch.arange(20).expand(12, 20)
    curvature = torch.tensor(1e-8, dtype=torch.float64)
    found, expected = scored(curved, curvature, heads, relations, ids), 4 * plain.score(heads, relations, ids)
    assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_points_on_the_ball_score_as_their_tangents() -> None:
    """Manifold storage holds expmap0 of the tangent table, and both give the same scores."""
    config = {"dim": 6, "curvature": "fixed", "initial_curvature": 2.0, "dtype": "float64", "init_scale": 0.4}
    tangent = KGEModel(RotH, 20, 3, ModelConfig(**config))  # type: ignore[arg-type]
    manifold = KGEModel(RotH, 20, 3, ModelConfig(**config, parametrization="manifold"))  # type: ignore[arg-type]
    assert isinstance(manifold.entity, geoopt.ManifoldParameter)
    heads, relations = torch.arange(12), torch.arange(12) % 6
    assert_close(manifold.score_all(heads, relations), tangent.score_all(heads, relations), rtol=1e-10, atol=1e-12)


def test_points_stay_on_the_ball_under_riemannian_adam() -> None:
    config = ModelConfig(dim=6, curvature="fixed", dtype="float64", init_scale=0.4, parametrization="manifold")
    model = KGEModel(RefH, 20, 3, config)
    heads, relations, tails = torch.arange(12), torch.arange(12) % 6, torch.arange(12) + 3
    optimizer = geoopt.optim.RiemannianAdam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    before = model.score(heads, relations, tails).mean().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss = -model.score(heads, relations, tails).mean()
        loss.backward()
        optimizer.step()
    assert -loss.item() > before
    assert (config.initial_curvature * model.entity.square().sum(-1) < 1).all()


def test_distance_changes_the_comparison_only() -> None:
    """The Lorentzian score is -4 sinh²(√c d/2)/c for the geodesic distance d of the same tables."""
    config = ModelConfig(dim=6, curvature="global", bias="none", dtype="float64", init_scale=0.4)
    lorentz = replace(config, distance="lorentz")
    heads, relations = torch.arange(12), torch.arange(12) % 6
    geodesic = KGEModel(RotH, 20, 3, config)
    c = geodesic.curvature()
    assert c is not None
    d = (-geodesic.score_all(heads, relations)).sqrt()
    expected = -4 * (c.sqrt() * d / 2).sinh().square() / c
    assert_close(KGEModel(RotH, 20, 3, lorentz).score_all(heads, relations), expected.detach())
    flat = (KGEModel(RotE, 20, 3, options).score_all(heads, relations) for options in (config, lorentz))
    assert torch.equal(*flat)


def test_the_graph_prior_is_part_of_the_answers_only() -> None:
    model = KGEModel(RotH, 20, 3, ModelConfig(dim=6))
    triples, ids = np.array([[1, 0, 2], [3, 0, 2]]), (torch.tensor([0]), torch.tensor([0]))
    model.set_graph_prior(GraphPrior(torch.full((6,), 5.0), triples))
    without, (_, answers) = model.score_all(*ids), next(iter(model.answers(*ids)))
    assert_close(answers - without, torch.nn.functional.one_hot(torch.tensor([2]), 20) * 5.0)
    assert torch.equal(next(iter(model.set_graph_prior(None).answers(*ids)))[1], without)
