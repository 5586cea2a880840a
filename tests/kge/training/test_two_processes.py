"""`torchrun -m mulde train` and `distil` with two processes give the result of one process.

In double precision, after 3 epochs of Adam: weights equal to 1e-7 (sums of gradients are taken in another order), ranks
and so metrics equal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

ROOT = Path(__file__).resolve().parents[3]
COMMON = ["--data", "nations", "--dim", "4", "--dtype", "float64", "--epochs", "3", "--eval-every", "1",
          "--batch-size", "333", "--negatives", "3", "--init-scale", "0.1", "--threads", "1"]  # fmt: skip
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def mulde(processes: int, *words: str | Path) -> str:
    launch = [*TWO, "-m", "mulde"] if processes == 2 else ["-m", "mulde"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *launch, *map(str, words)]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
def test_two_processes_train_and_distil_as_one(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher1"
    for processes in (1, 2):
        mulde(processes, "train", "roth", *COMMON, "--out", tmp_path / f"teacher{processes}")
        output = mulde(
            processes, "distil", *COMMON, "--top-k", "5", "--random-candidates", "3", "--junior", "roth",
            "--teacher", teacher, "--json", "--out", tmp_path / f"junior{processes}",
        )  # fmt: skip
        assert json.loads(output)["fit"]["steps"] == 3 * 10  # one report, from the first process
    for stage in ("teacher", "junior"):
        one, two = (safetensors.torch.load_file(tmp_path / f"{stage}{n}/model.safetensors") for n in (1, 2))
        for name, value in one.items():
            assert torch.allclose(two[name], value, rtol=0, atol=1e-7), (stage, name, (two[name] - value).abs().max())
        reports = [json.loads((tmp_path / f"{stage}{n}/test.json").read_text())["realistic"] for n in (1, 2)]
        assert reports[0] == reports[1]
    environment = json.loads((tmp_path / "junior2/fit/config.json").read_text())["environment"]
    assert environment["processes"] == 2
