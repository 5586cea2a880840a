"""Devices, precisions, batches of any form, and several processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from torch import Tensor

from kge_data.files.process_group import ProcessGroup
from mulde.engine import Clock, OptimizerSpec, Trainer
from mulde.engine.device import Device, automatic, random_state, resolved, restore_random_state, seed_everything
from mulde.errors import UsageError
from tests.engine.toys import Batch, Follower, Peers, ShuffledFeed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gpu",), 'no device called "gpu"; choose cpu, cuda, cuda:0, mps or auto'),
        (("cuda:x",), 'no device called "cuda:x"; choose cpu, cuda, cuda:0, mps or auto'),
        (
            ("cpu", "16-mixed"),
            'no precision called "16-mixed"; choose one of 32-true, 64-true, bf16-mixed, bf16-true',
        ),
    ],
)
def test_bad_devices_are_refused(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Device(*arguments)
    assert str(refusal.value) == sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_cuda_is_refused() -> None:
    with pytest.raises(ValueError, match='device is "cuda", but torch finds no CUDA device; use device="cpu"'):
        Device("cuda")


@pytest.mark.parametrize(
    ("device", "found", "processes", "expected"),
    [
        ("auto", 0, 1, "cpu"),
        ("auto", 1, 1, "cuda"),
        ("auto", 1, 2, "cpu"),  # not a device for each process
        ("auto", 2, 2, "cuda"),
        ("cpu", 2, 1, "cpu"),
        ("cuda", 2, 1, "cuda"),
        ("cuda:1", 2, 1, "cuda:1"),
        ("cuda:1", 1, 1, 'device is "cuda:1", but torch finds 1 CUDA device, numbered from 0; use device="cuda:0"'),
        ("cuda:2", 2, 1, 'device is "cuda:2", but torch finds 2 CUDA devices, numbered from 0; use device="cuda:0"'),
        ("cuda", 0, 1, 'device is "cuda", but torch finds no CUDA device; use device="cpu"'),
        ("auto:1", 2, 1, 'no device called "auto:1"; choose cpu, cuda, cuda:0, mps or auto'),
    ],
)
def test_the_device_that_a_name_stands_for(
    device: str, found: int, processes: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mulde.engine.device.automatic", automatic)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)  # never chosen by "auto"
    monkeypatch.setattr("mulde.engine.device.process_group", lambda: ProcessGroup(0, processes, processes))
    if " " in expected:
        with pytest.raises(UsageError) as refusal:
            resolved(device)
        assert str(refusal.value) == expected
    else:
        assert resolved(device) == expected


def test_a_job_of_slurm_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NTASKS": "4", "PROCID": "1", "LOCALID": "1", "NODEID": "0", "JOB_NAME": "job"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    device = Device()
    assert (device.rank, device.processes) == (0, 1)


class Pair(NamedTuple):
    ids: Tensor
    more: list[Tensor]


@dataclass(frozen=True)
class Nested:
    pair: Pair
    scores: dict[str, Tensor]
    name: str


def test_batches_of_any_form_are_moved_and_converted() -> None:
    batch = Nested(Pair(torch.arange(2), [torch.ones(1)]), {"x": torch.zeros(3)}, "unchanged")
    moved = Device("cpu", "64-true").move(batch)
    assert isinstance(moved, Nested)
    assert isinstance(moved.pair, Pair)
    assert moved.pair.ids.dtype == torch.int64
    assert moved.pair.more[0].dtype == moved.scores["x"].dtype == torch.float64
    assert moved.name == "unchanged"
    assert Device("cpu").move(batch) is batch


def test_precisions() -> None:
    method = Follower()
    Trainer(precision="64-true").fit(method, ShuffledFeed(), epochs=1)
    assert method.student.weight.dtype == method.guide.weight.dtype == torch.float64

    seen: list[torch.dtype] = []
    mixed = Peers()
    mixed.a.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    Trainer(precision="bf16-mixed").fit(mixed, ShuffledFeed(), epochs=1)
    assert set(seen) == {torch.bfloat16}
    assert mixed.a.weight.dtype == torch.float32

    own = Peers().double()
    feed = ShuffledFeed()
    feed.inputs, feed.targets = feed.inputs.double(), feed.targets.double()
    Trainer(precision="32-true").fit(own, feed, epochs=1)  # "32-true" does not convert a method
    assert own.a.weight.dtype == torch.float64


def test_random_states_survive_a_file(tmp_path: Path) -> None:
    def draw() -> tuple[float, ...]:
        return torch.rand(()).item(), numpy.random.normal(), random.gauss(0, 1)  # noqa: NPY002

    seed_everything(3)
    numpy.random.normal()  # noqa: NPY002 - leaves a cached second value behind
    torch.save(random_state(), tmp_path / "state.pt")
    expected = [draw() for _ in range(3)]
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draw() for _ in range(3)] == expected
    seed_everything(3)
    numpy.random.normal()  # noqa: NPY002
    assert [draw() for _ in range(3)] == expected


class Interleaved:
    """Every second example for each of two processes, in a fixed order."""

    def __init__(self, rank: int, processes: int) -> None:
        whole = ShuffledFeed()
        self.batches = [
            Batch(
                whole.inputs[start + rank : start + 8 : processes],
                whole.targets[start + rank : start + 8 : processes],
            )
            for start in range(0, 32, 8)
        ]

    def __iter__(self) -> Any:
        return iter(self.batches)


class Alternating(Peers):
    """In odd steps learner b has a term in the first process only."""

    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        found = super().losses(batch, clock)
        if clock.step % 2 and int(os.environ.get("RANK", 0)) == 1:
            return {term: value for term, value in found.items() if term.startswith("a/")}
        return found


def train_one_of_several(folder: Path, alternating: bool) -> None:
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    method = (Alternating if alternating else Peers)(seed=rank)  # the weights of the first process are used
    trainer = Trainer(folder=folder, optimizers=OptimizerSpec("sgd", lr=0.05), max_grad_norm=1.0)
    trainer.fit(method, Interleaved(rank, processes), epochs=3, name="x", evaluate=lambda method, clock: {"rank": rank})
    weights = {name: value.tolist() for name, value in method.state_dict().items()}
    (folder / f"rank{rank}.json").write_text(json.dumps(weights))


@pytest.mark.slow
@pytest.mark.parametrize("alternating", [False, True])
def test_two_processes_train_as_one(tmp_path: Path, alternating: bool) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    script = tmp_path / "train.py"
    script.write_text(
        f"from tests.engine.test_device import *\ntrain_one_of_several(Path({str(tmp_path)!r}), {alternating})\n"
    )
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    answer = subprocess.run(launch, cwd=root, env=environment, capture_output=True, text=True, timeout=180)
    assert answer.returncode == 0, answer.stderr
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert json.loads((tmp_path / "x/record.json").read_text())["metrics"] == {"rank": 0.0}
    if not alternating:
        (tmp_path / "single").mkdir()
        train_one_of_several(tmp_path / "single", alternating=False)
        single = json.loads((tmp_path / "single/rank0.json").read_text())
        for name, value in single.items():
            assert torch.allclose(torch.tensor(first[name]), torch.tensor(value), atol=1e-5), name
