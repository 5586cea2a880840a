"""The first ten losses of every method on UMLS: CPU, float64, seed 0.

Every method of the catalogue is included. A difference means that training has changed: find the reason, then
`pytest tests/golden --refresh-golden -s`, which prints old and new values, and record it under "Numbers" in the
changelog.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import kge_data
from kge_data import TripleSet
from mulde.config import hints_of
from mulde.engine import Clock, OptimizerSpec, Setup, Trainer, as_setup
from mulde.kge.feeds import AnswerFeed, answer_feed, query_feed
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.options import Training
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.roth import RotH
from mulde.kge.training.method_file import SUPERVISED, MethodFile, names, open_method
from tests.kge import toys

FOLDER = Path(__file__).parent
STEPS = 10
MODEL = {"dim": 6, "dtype": "float64", "init_scale": 0.4}
Losses = list[dict[str, float]]


@dataclass(frozen=True)
class Golden:
    """A method with options."""

    method: str
    scorer: type[Scorer] = RotH
    teachers: tuple[type[Scorer], ...] = toys.FOUR
    options: dict[str, Any] = field(default_factory=dict)

    def setup(self) -> Setup:
        """The method on UMLS with untrained teachers, and its feed of ten steps an epoch."""
        file: MethodFile = SUPERVISED if self.method == "supervised" else open_method(self.method)
        given = {"top_k": 20, **MODEL, **self.options}
        config = toys.options(
            file.Config, **{key: value for key, value in given.items() if key in hints_of(file.Config)}
        )
        student = KGEModel(self.scorer, graph().num_entities, graph().num_relations, config.model)
        networks = file.networks(
            config, graph(), {"student": student, "teacher": toys.ensemble(graph(), self.teachers)}
        )
        setup = as_setup(file.build(config, graph(), networks))
        counted = AnswerFeed(graph(), 1).count if isinstance(setup.feed, AnswerFeed) else 2 * len(graph().train)
        training = Training(batch_size=-(-counted // STEPS), negatives=16)
        feed = (answer_feed if isinstance(setup.feed, AnswerFeed) else query_feed)(graph(), training)
        return Setup(setup.method, feed)


GOLDENS = {
    **{name: Golden(name) for name in names()},
    "average": Golden("average", teachers=(RefH,)),
    "mulde": Golden("mulde", options={"attention_gradient": True}),  # as in preset paper
    "mulde_recommended": Golden("mulde", options={"include_target": True}),  # as in preset recommended
    "offline": Golden("offline", teachers=(RefH, ComplEx), options={"n3": 0.01, "curvature": "global"}),
    "supervised": Golden("supervised"),
    "supervised_1vsall": Golden(
        "supervised", scorer=ComplEx, options={"loss": "1vsall", "n3": 0.01, "curvature": "global"}
    ),
}


@cache
def graph() -> TripleSet:
    return kge_data.load("umls")


def first_losses(setup: Setup) -> Losses:
    """The terms of every step, recorded when the trainer calls for them."""
    recorded: Losses = []
    method, original = setup.method, setup.method.losses

    def recording(batch: Any, clock: Clock) -> dict[str, Tensor]:
        terms = original(batch, clock)
        recorded.append({name: value.item() for name, value in terms.items()})
        return terms

    method.losses = recording  # type: ignore[method-assign]
    assert setup.feed is not None
    optimizers = OptimizerSpec("adam", lr=1e-2)
    Trainer(optimizers=optimizers, seed=0, progress=False).fit(method, setup.feed, epochs=1, name=None)
    return recorded


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str, refresh: bool) -> None:
    path, found = FOLDER / f"{name}.json", first_losses(GOLDENS[name].setup())
    assert len(found) == STEPS
    if refresh:
        old = json.loads(path.read_text()) if path.exists() else [{}] * STEPS
        for before, now in zip(old, found, strict=True):
            for term, value in now.items():
                print(f"{name} {term}: {before.get(term)} -> {value}")
        path.write_text(json.dumps(found, indent=1) + "\n")
    assert path.exists(), f"no golden numbers for {name}; make them: pytest tests/golden -k {name} --refresh-golden -s"
    for step, (expected, now) in enumerate(zip(json.loads(path.read_text()), found, strict=True)):
        assert now == pytest.approx(expected, rel=1e-8), f"step {step}"


def test_every_file_has_its_method() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(GOLDENS)
