"""Impossible numbers for every numeric argument of the Python functions, which are found from their signatures."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import kge_data
import mulde
from mulde.config import Duration
from mulde.config.values import alternatives

GRAPH = kge_data.from_triples([(f"e{i}", "r", f"e{(i + step) % 9}") for i in range(9) for step in (1, 2, 3)])
IMPOSSIBLE = (math.nan, math.inf, -1, 2**63, "", "nan", 10**400)


@pytest.fixture(scope="module")
def functions() -> dict[str, Callable[..., Any]]:
    model = mulde.train("roth", GRAPH, dim=2, epochs=1, negatives=2, compile="off")
    return {
        "train": partial(mulde.train, "roth", GRAPH),
        "distil": partial(mulde.distil, "roth", model, GRAPH),
        "run": partial(mulde.run, GRAPH),
        "tune": partial(mulde.tune, "roth", GRAPH),
        "predict": partial(mulde.predict, model, GRAPH, head="e1", relation="r", probability=False),
        "evaluate": partial(mulde.evaluate, model, GRAPH),
        "discover": partial(mulde.discover, model, GRAPH),
        "explain": partial(mulde.explain, model, GRAPH, head="e1", relation="r", tail="e2", probability=False),
    }


def numbers(name: str) -> Iterator[tuple[str, bool]]:
    """Numeric arguments of a function, and whether they are whole."""
    for argument, parameter in inspect.signature(getattr(mulde, name)).parameters.items():
        kinds = parameter.annotation
        kinds = set(kinds.split(" | ") if isinstance(kinds, str) else alternatives(kinds))
        if kinds & {int, float, Duration, "int", "float"}:
            yield argument, bool(kinds & {int, "int"})


@pytest.mark.parametrize("name", ["train", "distil", "run", "tune", "predict", "evaluate", "discover", "explain"])
def test_impossible_numbers_are_refused(name: str, functions: dict[str, Callable[..., Any]]) -> None:
    checked = set()
    for argument, whole in numbers(name):
        for value in IMPOSSIBLE:
            if value == 2**63 and not whole:
                continue
            with pytest.raises(mulde.UsageError, match=argument) as error:
                functions[name](**{argument: value})
            assert len(str(error.value)) < 700
        checked.add(argument)
    assert "threads" in checked and len(checked) >= 2
