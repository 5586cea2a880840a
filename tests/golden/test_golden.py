"""The first ten losses of every method on UMLS: CPU, float64, seed 0.

A difference means that training has changed: find out why, then `pytest tests/golden --refresh-golden -s`,
which shows old and new, and write it under "Numbers" in the changelog.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import kge_data
from kge_data import TripleSet
from mulde.engine import Clock, Method, OptimizerSpec, Trainer
from mulde.kge.feeds import AnswerFeed, ShuffledFeed
from mulde.kge.methods.average import SingleTeacher
from mulde.kge.methods.mulde import MulDE
from mulde.kge.methods.offline import Offline, OfflineConfig
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.roth import RotH
from mulde.kge.training.presets import preset
from mulde.kge.training.stage import cached_predictions
from mulde.kge.training.supervised import Pretrain
from tests.kge import toys

FOLDER = Path(__file__).parent
STEPS = 10
Losses = list[dict[str, float]]


@cache
def graph() -> TripleSet:
    return kge_data.load("umls")


def _offline() -> Method:
    answers = cached_predictions(toys.ensemble(graph(), (RefH, ComplEx)), graph(), 20, None, progress=False)
    return Offline(_one_curvature(RotH), answers, OfflineConfig(n3=0.01))


def _one_curvature(scorer: type[Scorer]) -> KGEModel:
    shape = ModelConfig(dim=6, dtype="float64", init_scale=0.4, curvature="global")
    return KGEModel(scorer, graph().num_entities, graph().num_relations, shape)


METHODS: dict[str, Callable[[], Method]] = {
    "pretrain": lambda: Pretrain(toys.model(graph())),
    "single_teacher": lambda: SingleTeacher(toys.model(graph()), toys.ensemble(graph(), (RefH,)), top=20),
    "mulde": lambda: MulDE(toys.model(graph()), toys.ensemble(graph()), preset("paper", top_k=20)),
    "pretrain_1vsall": lambda: Pretrain(_one_curvature(ComplEx), "1vsall", 0.01),
    "offline": _offline,
    "mulde_recommended": lambda: MulDE(toys.model(graph()), toys.ensemble(graph()), preset("recommended", top_k=20)),
}


def first_losses(method: Method) -> Losses:
    """The terms of every step, written down as the trainer asks for them."""
    recorded: Losses = []
    original = method.losses

    def recording(batch: Any, clock: Clock) -> dict[str, Tensor]:
        terms = original(batch, clock)
        recorded.append({name: value.item() for name, value in terms.items()})
        return terms

    method.losses = recording  # type: ignore[method-assign]
    batch_size = -(-2 * len(graph().train) // STEPS)  # one epoch of ten steps
    feed: ShuffledFeed = toys.feed(graph(), batch_size, negatives=16)
    if isinstance(method, Offline) or (isinstance(method, Pretrain) and method.loss == "1vsall"):
        feed = AnswerFeed(graph(), 1)
        feed = AnswerFeed(graph(), -(-feed.count // STEPS))
    Trainer(optimizers=OptimizerSpec("adam", lr=1e-2), seed=0, progress=False).fit(method, feed, epochs=1, name=None)
    return recorded


@pytest.mark.parametrize("name", METHODS)
def test_golden(name: str, refresh: bool) -> None:
    path, found = FOLDER / f"{name}.json", first_losses(METHODS[name]())
    assert len(found) == STEPS
    if refresh:
        old = json.loads(path.read_text()) if path.exists() else [{}] * STEPS
        for before, now in zip(old, found, strict=True):
            for term, value in now.items():
                print(f"{name} {term}: {before.get(term)} -> {value}")
        path.write_text(json.dumps(found, indent=1) + "\n")
    assert path.exists(), f"no golden numbers for {name}: pytest tests/golden --refresh-golden"
    for step, (expected, now) in enumerate(zip(json.loads(path.read_text()), found, strict=True)):
        assert now == pytest.approx(expected, rel=1e-8), f"step {step}"


def test_every_file_has_its_method() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(METHODS)
