"""The time of `make fuzz`, shared by its tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> float:
    """The time of one test: together, on all processes, the tests take the minutes that are asked for."""
    config = request.config
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    return float(config.getoption("--minutes")) * 60 * workers / len(request.session.items)
