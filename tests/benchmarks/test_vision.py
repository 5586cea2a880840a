"""The table of all verifications says what their files say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "benchmarks/vision.py"


def test_a_verification_in_a_line() -> None:
    spec = importlib.util.spec_from_file_location("vision_table", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    gains = {"baseline": (0.1, 0.3), "method": (0, 0), "sabotage": (0.2, 0.2)}
    runs = [{"seed": seed, "arm": arm, "top_1": 0.7 - gains[arm][seed - 2]} for seed in (2, 3) for arm in gains]
    summary: list[dict[str, Any]] = [
        {"arm": "baseline", "seeds": 2, "top_1": 0.5, "sd": 0.01},
        {"arm": "method", "seeds": 2, "top_1": 0.7, "sd": 0.02, "difference": 0.2, "from": -1.07, "to": 1.47},
    ]
    data = "data shapes:80,size=8: 48 training images"
    assert module.line({"method": "bar", "data": data, "summary": summary, "runs": runs}) == {
        "method": "bar",
        "data": "shapes",
        "metric": "top 1",
        "baseline": "0.500 ± 0.010",
        "with the method": "0.700 ± 0.020",
        "over baseline [95 %]": "+0.200 [-1.071, +1.471]",  # t of one degree of freedom: 12.706 * 0.1
        "over term at zero": "-",
        "over sabotage": "+0.200 [+0.200, +0.200]",
        "seeds": 2,
    }
