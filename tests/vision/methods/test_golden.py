"""The first losses of every method on the toy split: CPU, float64, seed 0.

A difference means that training has changed: find out why, then `pytest tests/vision/methods/test_golden.py
--refresh-golden -s`, which shows old and new, and write it under "Numbers" in the changelog.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mulde.engine import Clock, OptimizerSpec, Trainer
from tests.vision.methods.test_contract import built, methods

FILE = Path(__file__).with_name("golden.json")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in float32, such as the mean of the images, depend on the number of threads in the eighth digit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def first_losses(name: str) -> list[dict[str, float]]:
    """The terms of six steps, one epoch, as the trainer computes them."""
    (method, feed), recorded = built(name), []
    losses = method.losses

    def recording(batch: Any, clock: Clock) -> Any:
        terms = losses(batch, clock)
        recorded.append({term: value.item() for term, value in terms.items()})
        return terms

    method.losses = recording
    trainer = Trainer(optimizers=OptimizerSpec("sgd", 0.05), precision="64-true", progress=False)
    trainer.fit(method, feed, epochs=1, name=None)
    return recorded


@pytest.mark.parametrize("name", methods())
def test_golden(name: str, refresh: bool) -> None:
    known, found = json.loads(FILE.read_text()) if FILE.exists() else {}, first_losses(name)
    if refresh:
        for step, now in enumerate(found):
            before = known.get(name, [{}] * len(found))[step]
            print("\n".join(f"{name} {step} {term}: {before.get(term)} -> {value}" for term, value in now.items()))
        known[name] = found
        FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    assert name in known, f"no golden numbers for {name}: pytest tests/vision/methods/test_golden.py --refresh-golden"
    assert len(found) == len(known[name])
    for step, (expected, now) in enumerate(zip(known[name], found, strict=True)):
        assert now == pytest.approx(expected, rel=1e-8), f"step {step}"
