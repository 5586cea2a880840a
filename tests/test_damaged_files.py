"""A bit that has changed in a file that a later command reads: it is reported, or the content is the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kge_data import cache
from mulde.engine import Record
from mulde.engine.checkpoint import RunFolder, load_weights, save_weights
from mulde.errors import UsageError
from mulde.files import read_json, write_json
from mulde.kge.evaluation.calibration import Calibration, open_calibration, save_calibration
from mulde.kge.evaluation.split_ranks import SplitRanks, read_ranks, write_ranks
from mulde.kge.storage.run_folder import graph_of, open_model, save_model
from mulde.kge.teachers.cached_predictions import cached_predictions
from mulde.kge.teachers.senior import Senior, open_senior, save_senior
from tests.kge.toys import ensemble, model, toy_graph

GRAPH, ABOUT = toy_graph(), {"split": "test"}
POSITIONS = 60  # flipped bits of each file


def checkpoints(folder: Path) -> Callable[[], Any]:
    """Two checkpoints with the same content, because the one before may be used."""
    run = RunFolder(folder)
    state = {"at": {"step": 3}, "method": {"weight": torch.arange(50.0)}, "optimizers": {}, "log": {"length": 0}}
    for _ in range(2):
        run.save(state)
    return run.load


def weights(folder: Path) -> Callable[[], Any]:
    save_weights(
        folder / "final.safetensors", {"a": torch.arange(30.0), "c": torch.ones(3, 10), "step": torch.ones(())}
    )
    return lambda: load_weights(folder / "final.safetensors")


def finished(folder: Path) -> Callable[[], Any]:
    run = RunFolder(folder)
    run.begin({"seed": 1}, {"date": "today"})
    run.log.write_text('{"step": 1}\n')
    run.finish(Record("fit", best_metrics={"mrr": 0.5}), {})
    (folder / "final.safetensors").unlink()
    return lambda: (run.begin({"seed": 1}, {}), run.record(), run.lines())


def models(folder: Path) -> Callable[[], Any]:
    save_model(folder, model(GRAPH, dim=2), GRAPH, "")

    def read() -> Any:
        graph = graph_of(folder)
        return open_model(folder).state_dict(), [getattr(graph, name).tolist() for name in ("train", "valid", "test")]

    return read


def predictions(folder: Path) -> Callable[[], Any]:
    def read() -> Any:
        found = cached_predictions(teachers, GRAPH, 4, folder)
        return found.ids, found.log_probabilities

    teachers = ensemble(GRAPH)
    read()
    return read


def ranks(folder: Path) -> Callable[[], Any]:
    write_ranks(folder / "ranks.npz", SplitRanks(*np.ones((2, 40), np.float32)), ABOUT)

    def read() -> Any:
        found = read_ranks(folder / "ranks.npz", ABOUT)
        if found is None:
            raise UsageError("computed again")
        return found.answers, found.embeddings_only

    return read


def senior(folder: Path) -> Callable[[], Any]:
    save_senior(folder, Senior(3, 2), ["a", "b"])
    return lambda: open_senior(folder)


def calibration(folder: Path) -> Callable[[], Any]:
    save_calibration(folder, Calibration((1.0, 0.5), 0.25, (0.0,) * 3, (0.5,) * 3, 64 * "0", "random"))
    return lambda: open_calibration(folder, 64 * "0", 3)


def plain(folder: Path) -> Callable[[], Any]:
    write_json(folder / "summary.json", {"a": 1.5, "b": ["ü", None, {"c": True}], "path": Path("x")})
    return lambda: {name: value for name, value in read_json(folder / "summary.json").items() if name in "a b path"}


def parsed(folder: Path) -> Callable[[], Any]:
    cache._write(folder / "toy.npz", {**cache._arrays(GRAPH), "stamp": cache._pack(["stamp"])})

    def read() -> Any:
        unpack = partial(cache._unpacked, name="toy")
        found = cache._read(folder / "toy.npz", "stamp", unpack, what="graph", again="it is read again")
        if found is None:
            raise UsageError("parsed again")
        return found.train, found.entities, found.checksum

    return read


def journal(folder: Path) -> Callable[[], Any]:
    module = pytest.importorskip("mulde.kge.training.tuning.journal")
    path = folder / "study.log"
    module.Journal(path).append_logs([{"op_code": 0, "value": 0.5}, {"op_code": 4, "value": [0.1, None]}])

    def read() -> Any:
        entries = list(module.Journal(path).read_logs(0))
        return len(entries), [{name: entry[name] for name in ("op_code", "value")} for entry in entries]

    return read


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


@pytest.mark.parametrize(
    "written", [checkpoints, weights, finished, models, predictions, ranks, senior, calibration, plain, parsed, journal]
)
def test_a_flipped_bit(written: Callable[[Path], Callable[[], Any]], tmp_path: Path) -> None:
    read = written(tmp_path)
    before = read()
    draw, reported = np.random.default_rng(0), 0
    for path in sorted(path for path in tmp_path.iterdir() if path.stat().st_size):
        content = path.read_bytes()
        for position in draw.integers(0, 8 * len(content), POSITIONS).tolist():
            damaged = bytearray(content)
            damaged[position // 8] ^= 1 << position % 8
            path.write_bytes(damaged)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                try:
                    found = read()
                except UsageError:
                    reported += 1
                    continue
            assert told or same(found, before), (path.name, position)
            reported += bool(told)
        path.write_bytes(content)
    assert reported > POSITIONS / 4


@pytest.mark.parametrize("length", [0, -2, -40])
@pytest.mark.parametrize("written", [weights, finished, models, predictions, senior, calibration, plain])
def test_a_file_that_is_cut(written: Callable[[Path], Callable[[], Any]], length: int, tmp_path: Path) -> None:
    read = written(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:length])
        with pytest.raises(UsageError):
            read()
        path.write_bytes(content)


def test_files_of_earlier_versions_have_no_checksum(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"name": "fit", "steps": 3}))
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n')
    found = RunFolder(tmp_path).record()
    assert found is not None and found.steps == 3
    assert RunFolder(tmp_path).lines() == [{"step": 1}]
