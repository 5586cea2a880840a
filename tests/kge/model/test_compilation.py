"""When a training compiles its steps, and that this depends on its settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mulde.errors import UsageError
from mulde.kge.model import compilation
from mulde.kge.training import fit, supervised
from mulde.kge.training.stage import train
from tests.kge import toys


def trained(folder: Path | None = None, **options: Any) -> None:
    train("roth", toys.toy_graph(), toys.options(supervised.Config, dim=4, **options), folder, bar=False)


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
    trained(epochs=epochs, batch_size=35, compile=compile, budget="0.01s")
    assert compilation._on == fuses


def test_a_compiler_that_fails_is_an_error_only_where_it_was_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "fuse", lambda: False)
    trained(epochs=1)
    with pytest.raises(UsageError) as complaint:
        trained(epochs=1, compile="on")
    assert str(complaint.value) == (
        "compile: torch.compile does not work here, perhaps for want of a C++ compiler; use --compile off"
    )


def test_a_training_with_more_time_goes_on_compiled(tmp_path: Path) -> None:
    """Its first part was, so that the whole must be."""
    for budget in ("0.01s", None):
        trained(tmp_path, epochs=2, compile="on", budget=budget)
        assert compilation._on
        compilation.plain()
