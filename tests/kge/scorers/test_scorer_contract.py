"""The law book applied to every scorer that lies in the folder, and to scorers that break a law."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mulde.kge.scorers
from mulde.geometry import euclidean, poincare
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.roth import RotH
from tests.contracts import scorer as laws
from tests.kge.model import queries


def found_scorers() -> list[type[Scorer]]:
    """Every subclass of Scorer declared in a file of mulde/kge/scorers, in the order of the files."""
    found = []
    for path in sorted(Path(mulde.kge.scorers.__path__[0]).glob("[!_]*.py")):
        module = importlib.import_module(f"mulde.kge.scorers.{path.stem}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Scorer) and value.__module__ == module.__name__:
                found.append(value)
    return [scorer for scorer in found if scorer is not Scorer]


SCORERS = found_scorers()


def test_all_are_found() -> None:
    assert {scorer.__name__ for scorer in SCORERS} >= set(queries.QUERIES)


@pytest.mark.parametrize("scorer", SCORERS)
def test_contract(scorer: type[Scorer]) -> None:
    assert scorer.__name__ in queries.QUERIES, f"write the query of {scorer.__name__} in tests/kge/model/queries.py"
    laws.check_scorer(scorer, queries.QUERIES[scorer.__name__])


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
    """Issue 2, proof 4."""
    (scorer,) = (scorer for scorer in SCORERS if scorer.__name__ == name)
    for config in laws.configurations(scorer):
        assert inside(laws.model_of(scorer, config))
    laws.equals_its_restatement(scorer, queries.QUERIES[name], triples=1000)


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
    space = euclidean

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


def test_the_law_book_can_refuse() -> None:
    with pytest.raises(AssertionError, match="off by"):
        laws.equals_its_restatement(Turned, queries.roth, triples=20)
    with pytest.raises(AssertionError, match=r"no gradient for relation\.after"):
        laws.gradients_of_candidates_are_those_of_compare(Forgetful)
    with pytest.raises(AssertionError, match=r"relation\.after learns nothing"):
        laws.every_table_learns(Forgetful)
    with pytest.raises(AssertionError, match="not close"):
        laws.slicing_changes_nothing(Flattened)
    with pytest.raises(AssertionError, match=r"√c\|v\| = 0.0"):
        laws.gradients_are_finite_at_the_edges(Unprotected)
