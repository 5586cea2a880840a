"""When a training compiles its steps, and that it depends on its settings only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mulde.errors import UsageError
from mulde.kge.model import compilation, scoring
from mulde.kge.training import supervised
from mulde.kge.training.stage import train
from tests.kge import toys


def trained(folder: Path | None = None, **options: Any) -> None:
    train("roth", toys.toy_graph(), toys.options(supervised.Config, dim=4, **options), folder, bar=False)


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The functions given to a compiler, which returns them as they are."""
    found: list[object] = []

    def compile(function: Callable[..., Any]) -> Callable[..., Any]:
        found.append(function)
        return function

    monkeypatch.setattr(compilation, "_compile", compile)
    return found


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize(
    ("compile", "epochs", "compiles"), [("auto", 1, False), ("off", 9000, False), ("on", 1, True), ("auto", 9000, True)]
)
def test_long_trainings_compile(compile: str, epochs: int, compiles: bool, outside: bool, given: list[object]) -> None:
    """Four steps an epoch; compilation outside the training changes nothing and is restored."""
    with compilation.compilation(outside):
        given.clear()
        trained(epochs=epochs, batch_size=35, compile=compile, budget="0.01s", graph_prior=False)
        assert (scoring._candidates in given) == compiles
        assert compilation._enabled == outside


def test_a_compiler_that_fails_is_an_error_only_where_it_was_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object) -> Callable[..., object]:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(compilation, "_compile", broken)
    trained(epochs=1)
    with (
        pytest.warns(UserWarning, match="torch.compile does not work here"),
        pytest.raises(UsageError) as complaint,
    ):
        trained(epochs=1, compile="on")
    assert str(complaint.value) == (
        "compile: torch.compile does not work here, perhaps for want of a C++ compiler; use --compile off"
    )
    assert compilation.compiled(scoring.compare) is scoring.compare


def test_the_state_is_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="inside"), compilation.compilation(True) as works:
        assert works and compilation._enabled
        raise RuntimeError("inside")
    assert not compilation._enabled


def test_a_training_with_more_time_goes_on_compiled(tmp_path: Path, given: list[object]) -> None:
    for budget in ("0.01s", None):
        given.clear()
        trained(tmp_path, epochs=2, compile="on", budget=budget)
        assert compilation._trial in given  # also where nothing is left to train
