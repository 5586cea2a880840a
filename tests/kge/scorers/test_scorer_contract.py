"""The contract of scorers for every scorer of the catalogue, and scorers that violate it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mulde.geometry import poincare
from mulde.geometry.spaces import Euclidean
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.roth import RotH
from tests.contracts import scorer as laws
from tests.contracts.scorer import SCORERS
from tests.kge.scorers.restated import restated, roth


@pytest.mark.parametrize("scorer", SCORERS)
def test_contract(scorer: type[Scorer]) -> None:
    laws.check_scorer(scorer, restated(scorer))


@pytest.mark.parametrize("scorer", SCORERS)
def test_file_and_class_have_one_name(scorer: type[Scorer]) -> None:
    assert scorer.__module__.rsplit(".", 1)[1].replace("_", "") == scorer.__name__.lower()


def inside(model: KGEModel) -> bool:
    """Whether all query points keep away from the margin, where the restatement does not clip."""
    heads, relations, _ = laws.queries(200)
    points = model.query(heads, relations)
    if points.curvature is None:
        return True
    radius = points.points.norm(dim=-1) * points.curvature.sqrt()
    return bool((radius < 1 - 10 * poincare.margin(model.entity.dtype)).all())


@pytest.mark.parametrize("name", ["RotH", "RefH", "AttH"])
def test_a_thousand_triples(name: str) -> None:
    (scorer,) = (scorer for scorer in SCORERS if scorer.__name__ == name)
    for config in laws.configurations(scorer):
        assert inside(laws.model_of(scorer, config))
    formula = restated(scorer)
    assert formula is not None
    laws.equals_its_restatement(scorer, formula, triples=1000)


class Turned(RotH):
    """The wrong order: rotates before the first translation."""

    @staticmethod
    def query(head: Tensor, *, before: Tensor, rotation: Tensor, after: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        return RotH.query(before, before=head, rotation=rotation, after=after, curvature=curvature)


class Forgetful(RotH):
    """Declares a parameter that it does not use."""

    @staticmethod
    def query(head: Tensor, *, before: Tensor, rotation: Tensor, after: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        return RotH.query(head, before=before, rotation=rotation, after=after.detach(), curvature=curvature)


class Flattened(Scorer):
    """Sums over the wrong axis, so that a query depends on its neighbours."""

    relation = {"translation": "vector"}
    space = Euclidean

    @staticmethod
    def query(head: Tensor, *, translation: Tensor) -> Tensor:  # type: ignore[override]
        return head + translation - translation.mean(0)


class Unprotected(Scorer):
    """A quotient without a clamp: 0/0 at the origin."""

    relation = {"translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, translation: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        length = (curvature * head.square().sum(-1)).sqrt().unsqueeze(-1)
        return poincare.project(head * torch.tanh(length) / length, curvature)


def test_the_laws_can_be_broken() -> None:
    with pytest.raises(AssertionError, match="off by"):
        laws.equals_its_restatement(Turned, roth, triples=20)
    with pytest.raises(AssertionError, match=r"no gradient for relation\.after"):
        laws.gradients_of_candidates_are_those_of_compare(Forgetful)
    with pytest.raises(AssertionError, match=r"relation\.after learns nothing"):
        laws.every_table_learns(Forgetful)
    with pytest.raises(AssertionError, match="not close"):
        laws.slicing_changes_nothing(Flattened)
    with pytest.raises(AssertionError, match=r"√c\|v\| = 0.0"):
        laws.gradients_are_finite_at_the_edges(Unprotected)
