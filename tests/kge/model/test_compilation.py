"""When a training compiles its steps, and that this depends on its settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulde.errors import UsageError
from mulde.kge.model import compilation
from mulde.kge.model.config import ModelConfig
from mulde.kge.training import stage
from mulde.kge.training.options import FitConfig
from mulde.kge.training.stage import train
from tests.kge import toys

SHAPE = ModelConfig(dim=4)


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that hands the functions back; and the process as it was, afterwards."""
    monkeypatch.setattr(compilation, "_on", False)
    monkeypatch.setattr(compilation, "_compiled", lambda function: function)


@pytest.mark.parametrize(
    ("compile", "epochs", "fuses"), [("auto", 1, False), ("off", 9000, False), ("on", 1, True), ("auto", 9000, True)]
)
def test_long_trainings_compile(compile: str, epochs: int, fuses: bool) -> None:
    """Four steps an epoch; a stage before it that compiled changes nothing."""
    compilation.fuse()
    fit = FitConfig(epochs=epochs, batch_size=35, compile=compile, budget="0.01s")  # type: ignore[arg-type]
    train("roth", toys.toy_graph(), fit, SHAPE, None, progress=False)
    assert compilation._on == fuses


def test_a_compiler_that_fails_is_an_error_only_where_it_was_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "fuse", lambda: False)
    train("roth", toys.toy_graph(), FitConfig(epochs=1), SHAPE, None, progress=False)
    with pytest.raises(UsageError) as complaint:
        train("roth", toys.toy_graph(), FitConfig(epochs=1, compile="on"), SHAPE, None, progress=False)
    assert str(complaint.value) == (
        "compile: torch.compile does not work here; is a C++ compiler there? --compile off does without"
    )


def test_a_training_with_more_time_goes_on_compiled(tmp_path: Path) -> None:
    """Its first part was, so that the whole must be."""
    for budget in ("0.01s", None):
        train(
            "roth", toys.toy_graph(), FitConfig(epochs=2, compile="on", budget=budget), SHAPE, tmp_path, progress=False
        )
        assert compilation._on
        compilation.plain()
