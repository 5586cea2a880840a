"""The flag that rewrites golden numbers: `make golden`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-golden", action="store_true", default=False, help="rewrite golden numbers, old beside new"
    )


@pytest.fixture
def refresh(request: pytest.FixtureRequest) -> bool:
    """Whether to rewrite golden numbers."""
    return bool(request.config.getoption("--refresh-golden"))
