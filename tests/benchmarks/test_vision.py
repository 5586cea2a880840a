"""The table of all verifications says what their files say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks/vision.py"


def result(low: float, high: float) -> dict[str, Any]:
    base = {"arm": "baseline", "seeds": 2, "top_1": 0.5, "sd": 0.01}
    ours = {"arm": "method", "seeds": 2, "top_1": 0.6, "sd": 0.02, "difference": 0.1, "from": low, "to": high}
    runs = [{"seed": seed, "arm": arm, "top_1": 0.5} for seed in (2, 3) for arm in ("baseline", "method")]
    data = "data shapes:80,size=8: 48 training images"
    return {"method": "bar", "data": data, "summary": [base, ours, ours | {"arm": "sabotage"}], "runs": runs}


@pytest.mark.parametrize(
    ("low", "high", "effect"), [(0.05, 0.15, "above"), (-0.1, 0.3, "not shown"), (-0.3, -0.1, "BELOW")]
)
def test_a_verification_in_a_line(low: float, high: float, effect: str) -> None:
    spec = importlib.util.spec_from_file_location("vision_table", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.line(result(low, high))
    assert found.pop("difference [95 %]") == f"+0.100 [{low:+.3f}, {high:+.3f}]"
    assert found == {
        "method": "bar",
        "data": "shapes",
        "metric": "top 1",
        "baseline": "0.500 ± 0.010",
        "with the method": "0.600 ± 0.020",
        "term at zero": "-",
        "sabotage": "+0.100",
        "seeds": "2, 3",
        "effect": effect,
    }
