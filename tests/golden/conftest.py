"""The flag that rewrites golden numbers: `pytest tests/golden --refresh-golden`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-golden",
        action="store_true",
        default=False,
        help="rewrite tests/golden/*.json, old beside new",
    )


@pytest.fixture
def refresh(request: pytest.FixtureRequest) -> bool:
    """Whether to rewrite. The flag exists where this folder is named on the command line."""
    return bool(request.config.getoption("--refresh-golden", default=False))
