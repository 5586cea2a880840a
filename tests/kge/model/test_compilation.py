"""When a training compiles its steps, and that this depends on its settings alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mulde.errors import UsageError
from mulde.kge.model import compilation, scoring
from mulde.kge.model.config import ModelConfig
from mulde.kge.training.options import FitConfig
from mulde.kge.training.stage import train
from tests.kge import toys

SHAPE = ModelConfig(dim=4)


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Functions given to a compiler that returns them as they are."""
    found: list[object] = []

    def compile(function: Callable[..., Any]) -> Callable[..., Any]:
        found.append(function)
        return function

    monkeypatch.setattr(compilation, "_compile", compile)
    return found


@pytest.mark.parametrize(
    ("compile", "epochs", "compiles"), [("auto", 1, False), ("off", 9000, False), ("on", 1, True), ("auto", 9000, True)]
)
def test_long_trainings_compile(compile: Any, epochs: int, compiles: bool, requests: list[object]) -> None:
    """Four steps an epoch; compilation outside the training changes nothing and is restored."""
    for outside in (False, True):
        with compilation.compilation(outside):
            requests.clear()
            fit = FitConfig(epochs=epochs, batch_size=35, compile=compile, budget="0.01s")
            train("roth", toys.toy_graph(), fit, SHAPE, None, progress=False)
            assert (scoring._candidates in requests) == compiles
            assert compilation._enabled == outside


def _broken(function: object) -> Callable[..., object]:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler")

    return fails


def test_a_compiler_that_fails_is_an_error_only_where_it_was_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_compile", _broken)
    train("roth", toys.toy_graph(), FitConfig(epochs=1), SHAPE, None, progress=False)
    with (
        pytest.warns(UserWarning, match="torch.compile does not work here"),
        pytest.raises(UsageError) as complaint,
    ):
        train("roth", toys.toy_graph(), FitConfig(epochs=1, compile="on"), SHAPE, None, progress=False)
    assert str(complaint.value) == (
        "compile: torch.compile does not work here; is a C++ compiler there? --compile off does without"
    )
    assert compilation.compiled(scoring.compare) is scoring.compare


def test_the_state_is_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError), compilation.compilation(True) as works:
        assert works and compilation._enabled
        raise RuntimeError
    assert not compilation._enabled


def test_a_training_with_more_time_goes_on_compiled(tmp_path: Path, requests: list[object]) -> None:
    for budget in ("0.01s", None):
        requests.clear()
        train(
            "roth", toys.toy_graph(), FitConfig(epochs=2, compile="on", budget=budget), SHAPE, tmp_path, progress=False
        )
        assert scoring._candidates in requests
