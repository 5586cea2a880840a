"""Every example runs to its end as a script, with one epoch instead of a few, and prints something."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NAMES = [
    "distil_a_junior",
    "federated_round",
    "my_own_image_method",
    "my_own_method",
    "my_own_scorer",
    "train_a_teacher",
    "two_peers",
    "use_in_pykeen",
]


def test_all_are_there() -> None:
    assert [path.stem for path in EXAMPLES] == NAMES


@pytest.mark.filterwarnings("ignore")  # of Flower and PyKEEN
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / "run")] if path.stem == "train_a_teacher" else []
    monkeypatch.chdir(tmp_path)
    script = tmp_path / path.name
    script.write_text(re.sub(r"(epochs(?:=|\": ))\d\b", r"\g<1>1", path.read_text(encoding="utf-8")))
    monkeypatch.setattr("sys.argv", [str(script), *words])
    runpy.run_path(str(script), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 2 or path.stem == "two_peers"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_short_and_tells_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert f"python examples/{path.name}" in text
