"""The result of the search for a watermark in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

ALARM = 0.01
"""Probability of a false alarm."""


def watermark_line(found: Mapping[str, float]) -> str:
    """Found or not found, at a rate of false alarms of 1 %."""
    verdict = "found" if found["p_value"] <= ALARM else "not found"
    return (
        f"watermark {verdict}: correlation {found['correlation']:.3f}, p-value {found['p_value']:.3f} among "
        f"{found['keys']:,.0f} keys; found at {ALARM:g} or less, which is the rate of false alarms"
    )
