"""README and the pages under docs/: what is between marks is what `results/` and the code have."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import pages
from mulde.config import hints_of
from mulde.kge.methods.mulde import Config
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", [page.relative_to(ROOT) for page in sorted(ROOT.glob("docs/**/*.md"))], ids=str)
def test_a_page_is_filled(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert pages.filled(text) == text, "run `make results`"
    assert "{{" not in text


def test_the_readme_is_filled_and_short() -> None:
    text = Path("README.md").read_text(encoding="utf-8")
    assert pages.filled(text) == text, "run `make results`"
    assert len(text.splitlines()) <= 120


def test_a_changed_table_is_filled_again() -> None:
    text = "before\n<!-- results/overview.md -->\nold\n<!-- end -->\nafter\n"
    new = pages.filled(text)
    assert new.startswith("before\n<!-- results/overview.md -->\n\n|") and new.endswith("|\n\n<!-- end -->\nafter\n")
    assert pages.filled(new) == new


def test_options_of_a_method() -> None:
    table = pages.config_table("mulde.kge.methods.mulde")
    assert "| `soft_weight` | `0.5` | Weight of the soft loss" in table
    own = hints_of(Config).keys() - hints_of(ModelConfig).keys() - hints_of(Training).keys()
    assert {row.split("`")[1] for row in table.splitlines()[2:]} == {*own, "model", "training"}
    assert "|  |" not in table
