"""Every test has its own cache and no KGE_DATA_HOME."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

TRAIN = "anna\tknows\tbert\nbert\tknows\tcarl\ncarl\tlikes\tanna\nanna\tlikes\tcarl\n"
VALID = "bert\tlikes\tanna\n"
TEST = "carl\tknows\tanna\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _no_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "slow" not in request.keywords:
        monkeypatch.delenv("KGE_DATA_HOME", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small graph: three entities, two relations, 4 + 1 + 1 triples."""
    return write_folder(tmp_path / "people")


def write_folder(folder: Path, train: str = TRAIN, valid: str = VALID, test: str = TEST) -> Path:
    folder.mkdir(parents=True)
    for name, text in (("train", train), ("valid", valid), ("test", test)):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def write_graph() -> Callable[..., Path]:
    """Writes a folder with the texts of train, valid and test."""
    return write_folder
