"""Out of memory is a sentence that names what to lower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mulde import cli
from mulde.cli import train
from tests.cli.conftest import Command


def too_large_for_torch(*_: object) -> int:
    torch.empty(1 << 62, dtype=torch.uint8)
    return 0


def too_large_for_numpy(*_: object) -> int:
    np.empty(1 << 62, dtype=np.uint8)
    return 0


def too_large_for_cuda(*_: object) -> int:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total ...")


@pytest.mark.parametrize(
    ("failing", "wanted"),
    [(too_large_for_torch, "4,611,686,018.4 GB"), (too_large_for_numpy, "4.00 EiB"),
     (too_large_for_cuda, "20.00 GiB")],
)  # fmt: skip
def test_a_training(failing: object, wanted: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "main", failing)
    output = command("train", "roth")
    assert (output.code, output.out) == (1, "")
    assert output.err == (
        f"mulde: out of memory ({wanted} more were needed); lower --batch-size, --negatives or --dim\n"
    )


def test_other_errors_keep_their_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise RuntimeError("expected two tensors")

    monkeypatch.setattr(train, "main", failing)
    output = command("train", "roth")
    assert output.code == 1 and output.err.startswith("Traceback") and "out of memory" not in output.err


def test_the_options_that_are_named_exist() -> None:
    from mulde.cli._memory import LOWER

    assert LOWER.keys() <= cli.verbs().keys()
