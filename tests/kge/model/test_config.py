"""Options of a model: refused values; importing them does not import torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.training.presets import configured


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "`dim` should be a whole number of at least 1"),
        ({"artanh_limit": 1.0}, "artanh_limit must be between 0 and 1; got 1.0; MulDE's is 0.996"),
        ({"initial_curvature": 0.0}, "initial_curvature must be above 0.0001, the floor of learned ones; got 0.0;"),
    ],
)
def test_bad_values_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        ModelConfig(**options)
    assert str(error.value).startswith(message)


def test_options_import_no_torch() -> None:
    code = "import sys, mulde.kge.model.config; print({'torch', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("graph", ["fb15k-237", "wn18rr", ""])
def test_presets_of_other_codes_cap_artanh_as_these_do(graph: str) -> None:
    assert configured(ModelConfig, "kgemb", graph).artanh_limit == 1 - 1e-5
    assert configured(ModelConfig, "paper", graph).artanh_limit == 1 - 4e-3
    assert configured(ModelConfig, "recommended", graph).artanh_limit is None
