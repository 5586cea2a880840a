"""The command `mulde ablate` in a folder of a test, and a small CIFAR."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mulde import cli


def command(tmp_path: Path, *words: str) -> int:
    places = ("--out", str(tmp_path / "out"), "--threads", "1")
    return cli.main(["ablate", *words, *places])


def cifar(folder: Path, classes: int, count: int, names: tuple[str, ...]) -> str:
    """Files as CIFAR's binary version has them, with random pixels."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for name in names:
        rows = random.integers(0, 256, (count, 3072 + (1 if classes == 10 else 2)), dtype=np.uint8)
        rows[:, 0] = 0  # of CIFAR-100 the coarse label
        rows[:, -3073] = np.arange(count) % classes
        rows.tofile(folder / f"{name}.bin")
    return f"cifar{classes}:{folder}"
