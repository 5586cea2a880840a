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
from mulde.kge.mulde import MulDE
from mulde.kge.presets import preset
from mulde.kge.pretrain import Pretrain
from mulde.kge.single_teacher import SingleTeacher
from mulde.scorers.refh import RefH
from tests.kge import toys

FOLDER = Path(__file__).parent
STEPS = 10
Losses = list[dict[str, float]]


@cache
def graph() -> TripleSet:
    return kge_data.load("umls")


METHODS: dict[str, Callable[[], Method]] = {
    "pretrain": lambda: Pretrain(toys.model(graph())),
    "single_teacher": lambda: SingleTeacher(toys.model(graph()), toys.panel(graph(), (RefH,)), top=20),
    "mulde": lambda: MulDE(toys.model(graph()), toys.panel(graph()), preset("paper", top=20)),
    "mulde_recommended": lambda: MulDE(toys.model(graph()), toys.panel(graph()), preset("recommended", top=20)),
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
    feed = toys.feed(graph(), batch_size, negatives=16)
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
