"""The time of `make fuzz`, shared by its tests, and the sums of their counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """The time of one test: together, on all processes, the tests take the minutes that are asked for."""
    config = request.config
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    return float(config.getoption("--minutes")) * 60 * workers / len(request.session.items)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        counts.update(dict(report.user_properties))
    terminalreporter.write_line("; ".join(f"{count:,} {what}" for what, count in counts.items()))
