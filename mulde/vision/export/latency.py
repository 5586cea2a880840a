"""Latency of a student, one picture at a time: by torch, and by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mulde.engine.latency import measure
from mulde.vision.inference.answers import Outputs

CALLS = 100
DEFAULT_SIDE = 224  # of students for any size


def latency_rows(engines: Mapping[str, Outputs]) -> list[dict[str, Any]]:
    """Rows with the latency of engines on random pictures, which take turns."""
    given = next(iter(engines.values())).transform
    size = given.size or (DEFAULT_SIDE, DEFAULT_SIDE)
    random = np.random.default_rng(0).standard_normal((1, given.channels, *size)).astype(np.float32)
    found = measure({name: model.compute for name, model in engines.items()}, [(random,)] * CALLS)
    return [{"engine": name, "p50 ms": times.p50, "p95 ms": times.p95} for name, times in found.items()]
