"""The contract of scorers in PyKEEN for every scorer of the catalogue."""

from __future__ import annotations

import math

import pytest
import torch
from pykeen.models import model_resolver
from pykeen.nn.modules import interaction_resolver
from pykeen.triples import KGInfo
from torch import Tensor

import mulde.pykeen
from mulde.errors import UsageError
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.roth import RotH
from mulde.pykeen import model_class, register
from mulde.pykeen.interactions import interaction_class
from mulde.pykeen.models import MODELS
from mulde.pykeen.registration import SYNONYMS
from tests.contracts.pykeen import check_in_pykeen
from tests.contracts.scorer import SCORERS

INFO = KGInfo(num_entities=5, num_relations=2, create_inverse_triples=True)


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.__name__)
def test_contract(scorer: type[Scorer]) -> None:
    check_in_pykeen(scorer)


def test_bilinear_scorers_are_left_to_pykeen() -> None:
    assert [model.scorer for model in MODELS] == SCORERS
    assert [model for model in MODELS if model not in model_resolver.lookup_dict.values()] == [model_class(ComplEx)]
    assert model_resolver.lookup("ComplEx").__module__.startswith("pykeen.")


def test_the_law_can_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(interaction_class(RotH)):  # type: ignore[misc]
        def forward(self, h: object, r: object, t: object) -> Tensor:
            return super().forward(h, r, t) + 1e-6  # type: ignore[no-any-return]

    monkeypatch.setattr("mulde.pykeen.models.interaction_class", lambda scorer: Forgetful)
    with pytest.raises(AssertionError, match="not close"):
        check_in_pykeen(RotH)


def test_names_are_known_to_pykeen() -> None:
    for model in set(MODELS) - {model_class(ComplEx)}:
        assert model_resolver.lookup(model.__name__) is model
        assert model_resolver.lookup(model.__name__.lower()) is model
        interaction = interaction_resolver.lookup(model.__name__)
        assert interaction is interaction_class(model.scorer)
        for synonym in SYNONYMS.get(model.__name__, ()):
            assert model_resolver.lookup(synonym) is model
            assert interaction_resolver.lookup(synonym) is interaction
        assert model_resolver.docdata(model.__name__) == {"name": model.__name__}
        assert getattr(mulde.pykeen, model.__name__) is model
    assert model_resolver.lookup("TransH").__module__.startswith("pykeen.")


def test_registering_again_changes_nothing() -> None:
    before = (
        dict(model_resolver.lookup_dict),
        dict(model_resolver.synonyms),
        dict(interaction_resolver.lookup_dict),
    )
    register()
    assert before == (model_resolver.lookup_dict, model_resolver.synonyms, interaction_resolver.lookup_dict)


def test_a_name_that_pykeen_has_taken_stays_pykeens(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = model_resolver.lookup("TransE")
    monkeypatch.setitem(model_resolver.lookup_dict, "roth", theirs)
    with pytest.warns(
        UserWarning, match='"RotH" already means pykeen.*stays so; pass the class mulde.pykeen.models.RotH'
    ):
        register()
    assert model_resolver.lookup_dict["roth"] is theirs


def test_a_scorer_from_elsewhere_has_a_model_too() -> None:
    class Embedding(Scorer):  # a name that the module of models uses otherwise
        relation = {"translation": "vector"}

        @staticmethod
        def query(head: Tensor, *, translation: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
            return 0.1 * (head + translation).tanh()

    network = model_class(Embedding)(triples_factory=INFO, embedding_dim=4, random_seed=0)
    assert network.score_t(torch.tensor([[0, 1]])).shape == (1, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dim": 7}, "RotH pairs coordinates, so `dim` must be even; got 7; use 6 or 8"),
        (
            {"curvature": "gloabl"},
            "curvature='gloabl': no such choice; use one of 'per-relation', 'global', 'fixed'",
        ),
        ({"bias": "three"}, "bias='three': no such choice; use one of 'separate', 'shared', 'none'"),
        ({"parametrization": "manifold"}, "parametrization 'manifold' needs a hyperbolic scorer and curvature 'fixed'"),
        ({"distance": "chordal"}, "distance='chordal': no such choice; use one of 'geodesic', 'lorentz'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        model_class(RotH)(triples_factory=INFO, random_seed=0, **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_global_curvature_is_one_parameter_of_the_interaction() -> None:
    network = model_class(RotH)(triples_factory=INFO, curvature="global", initial_curvature=0.5, random_seed=0)
    assert [tuple(parameter.shape) for parameter in network.interaction.parameters()] == [(1,)]
    raw = network.interaction.raw_curvature.item()
    assert math.log1p(math.exp(raw)) + 1e-4 == pytest.approx(0.5, rel=1e-6)
