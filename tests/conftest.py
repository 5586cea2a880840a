"""Pytest options: golden numbers (`make golden`), a sample of the suite (`make check`), minutes (`make fuzz`)."""

from __future__ import annotations

import dataclasses
import gc
import importlib.metadata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("tests", deadline=None)  # no test depends on a clock
hypothesis.settings.load_profile("tests")

WHOLE = ("tests/test_floors.py", "tests/examples/")  # complete, quick or not


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-golden", action="store_true", default=False, help="rewrite golden numbers, old beside new"
    )
    parser.addoption("--minutes", type=float, default=0.2, help="time of tests/fuzz")
    parser.addoption(
        "--quick",
        action="store_true",
        default=False,
        help="of every parametrised test the first and the last parameters, and no test marked thorough",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The sample for `--quick`: contracts on two scorers or methods instead of all, one seed instead of many."""
    if not config.getoption("--quick"):
        return
    variants: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        variants[item.nodeid.partition("[")[0]].append(item)

    def wanted(item: pytest.Item) -> bool:
        if item.get_closest_marker("thorough"):
            return False
        of_one_test = variants[item.nodeid.partition("[")[0]]
        return item.nodeid.startswith(WHOLE) or item in (of_one_test[0], of_one_test[-1])

    left_out = [item for item in items if not wanted(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if wanted(item)]


@pytest.fixture(scope="module", autouse=True)
def _garbage_collection_is_quick() -> None:
    """Exclude what exists from garbage collections: PyKEEN makes two per epoch, half a second each with all modules."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """No power fails between two tests; processes that a test starts do wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _the_default_device_is_the_cpu() -> Iterator[None]:
    """Tests compare numbers and bits; those of other devices name the device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mulde.engine.device.automatic", lambda: "cpu")
        yield


@pytest.fixture(scope="session", autouse=True)
def _installed_packages_are_read_once() -> Iterator[None]:
    """Each training asks for versions and plugins, a fifth of the time of a small one; they do not change meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.metadata.version", cache(importlib.metadata.version))
        patch.setattr("lightning_fabric.utilities.registry.entry_points", cache(importlib.metadata.entry_points))
        yield


@pytest.fixture(scope="session", autouse=True)
def _generated_pictures_are_drawn_once() -> Iterator[None]:
    """Most studies draw the same four thousand, in half a second."""
    from mulde.vision.data import loading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "shapes", cache(loading.shapes))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_onnx_file_of_each_model() -> Iterator[None]:
    """Tests export the same models, and each takes seconds; half a second of it for the exporter's own operators."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    from mulde.engine.provenance import tensors_checksum
    from mulde.kge.export import onnx

    make, made = onnx.to_onnx, dict[tuple[str, bool], bytes]()

    def kept(model: Any, int8: bool = False) -> bytes:
        weights = {name: each for name, each in model.state_dict().items() if not name.startswith("graph_prior")}
        config = dataclasses.replace(model.config, graph_prior=False)  # no part of the file
        key = f"{model.scorer} {config} {tensors_checksum(weights)}", int8
        if key not in made:
            made[key] = make(model, int8)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "to_onnx", kept)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture
def refresh(request: pytest.FixtureRequest) -> bool:
    """Whether to rewrite golden numbers."""
    return bool(request.config.getoption("--refresh-golden"))
