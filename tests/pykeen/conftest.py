"""PyKEEN writes its files in a folder of these tests; its warnings about itself are ignored."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="pykeen-home-")
os.environ["PYKEEN_HOME"] = _HOME.name  # read when pykeen is imported

import kge_data  # noqa: E402
from kge_data.tripleset import TripleSet  # noqa: E402
from mulde.pykeen import factories  # noqa: E402

HERE = Path(__file__).parent
OF_PYKEEN = [
    "ignore:.*pin_memory.*:UserWarning",
    "ignore::DeprecationWarning",  # sLCWA's data loader, and click in PyKEEN's command line
    "ignore::FutureWarning",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            for warning in OF_PYKEEN:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session", autouse=True)
def _cache() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGE_DATA_CACHE", _HOME.name)
        patch.delenv("KGE_DATA_HOME", raising=False)
        yield


@pytest.fixture(scope="session")
def nations(_cache: None) -> TripleSet:
    return kge_data.load("nations")


@pytest.fixture(scope="session")
def splits(nations: TripleSet) -> dict[str, object]:
    """The graph as arguments of a pipeline."""
    training, validation, testing = factories(nations)
    return {"training": training, "validation": validation, "testing": testing}
