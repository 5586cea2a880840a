"""Latency of single calls. Engines take turns on the same inputs, so that other load affects all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

WARM_UP = 20


class Latency(NamedTuple):
    """Percentiles of the time of one call, in milliseconds."""

    p50: float
    p95: float


def measure(engines: Mapping[str, Callable[..., Any]], inputs: Sequence[tuple[Any, ...]]) -> dict[str, Latency]:
    """Latency of each engine.

    Parameters
    ----------
    engines
        Functions by name.
    inputs
        Arguments of each call; the first `WARM_UP` are also used beforehand, without being counted.
    """
    calls = [*inputs[:WARM_UP], *inputs]
    seconds = {name: np.empty(len(calls)) for name in engines}
    for i, arguments in enumerate(calls):
        for name, call in engines.items():
            began = time.perf_counter()
            call(*arguments)
            seconds[name][i] = time.perf_counter() - began
    counted = slice(len(calls) - len(inputs), None)
    return {name: Latency(*map(float, 1000 * np.percentile(s[counted], (50, 95)))) for name, s in seconds.items()}
