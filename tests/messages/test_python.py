"""Messages of functions that Python users call: the same sentences as on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import kge_data
import mulde
from mulde.kge.inference import query
from tests.messages.conftest import LISTED


def test_python_gets_the_same_sentences() -> None:
    graph = kge_data.load("nations")
    with pytest.raises(mulde.UsageError) as error:
        mulde.train("roth", graph, dmi=8)
    assert str(error.value) == 'no option called "dmi"; nearest: dim; all are listed by `mulde distil --help-all`'
    with pytest.raises(mulde.UsageError) as error:
        mulde.train("rothh", graph)
    assert str(error.value) == (
        f'no scorer called "rothh"; nearest: roth, rote; {LISTED}; pass your own scorer as a class'
    )
    model = mulde.KGEModel(mulde.Scorer, 1, 1, mulde.ModelConfig())
    with pytest.raises(mulde.UsageError) as error:
        mulde.predict(model, graph, relation="embassy")
    assert str(error.value) == "predict needs exactly two of head, relation and tail, and predicts the third one"


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("loss", "bce", "`loss` should be one of binary, cross-entropy, 1vsall, got 'bce'"),
        ("corrupt", "head", "`corrupt` should be one of tail, both, got 'head'"),
        ("compile", True, "`compile` should be one of auto, on, off, got True"),
        ("dtype", "float16", "`dtype` should be one of float32, float64, got 'float16'"),
        ("bias", "both", "`bias` should be one of separate, shared, none, got 'both'"),
        ("rotation_init", "gaussian", "`rotation_init` should be one of uniform, normal, got 'gaussian'"),
        ("parametrization", "ball", "`parametrization` should be one of tangent, manifold, got 'ball'"),
        ("mask_self_loops", "none", "`mask_self_loops` should be true or false, got 'none'"),
        ("dim", 8.0, "`dim` should be a whole number of at least 1 and at most 100,000, got 8.0"),
        ("lr", math.nan, "`lr` should be a number above 0 or empty, got nan"),
    ],
)
def test_python_cannot_misspell_an_option(option: str, value: object, sentence: str) -> None:
    graph = kge_data.load("nations")
    for call in (mulde.train, partial(mulde.distil, teachers=[])):
        with pytest.raises(mulde.UsageError) as error:
            call("roth", graph=graph, **{option: value})
        assert str(error.value).removeprefix("options: ") == sentence


def test_an_option_belongs_to_its_method() -> None:
    graph = kge_data.load("nations")
    with pytest.raises(mulde.UsageError, match=r"`n3` should be a number of at least 0, got -0\.1"):
        mulde.train("roth", graph, n3=-0.1)
    with pytest.raises(mulde.UsageError, match='no option called "n3"'):
        mulde.distil("roth", [], graph, n3=0.1)


def test_python_refuses_another_graph() -> None:
    model, kinships = mulde.load("umls-8"), kge_data.load("kinships")
    wrong: list[Callable[[], object]] = [
        lambda: mulde.evaluate(model, kinships),
        lambda: mulde.predict(model, kinships, head="person1", relation="term1"),
        lambda: query.score(model, kinships, head="person1", relation="term1", tail="person2"),
        lambda: query.neighbours(model, kinships, "person1"),
    ]
    for call in wrong:
        with pytest.raises(mulde.UsageError) as error:
            call()
        assert str(error.value) == (
            "expected the graph that this model was trained on, of 135 entities and 46 relations; got kinships, of "
            "104 and 25; pass the right graph"
        )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "dev"}, "split should be one of train, valid, test; got 'dev'"),
        (
            {"protocol": "noself"},
            'no protocol called "noself"; nearest: no-self, seen-no-self; all are listed by `mulde evaluate --help`',
        ),
        ({"sample": 0}, "`sample` should be a whole number of at least 1 or empty, got 0"),
    ],
)
def test_an_evaluation_of_nothing(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(mulde.UsageError) as error:
        mulde.evaluate(mulde.load("umls-8"), kge_data.load("umls"), **options)
    assert str(error.value) == sentence
