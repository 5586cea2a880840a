"""Binary CIFAR batches and IDX files, the format of MNIST. Nothing is unpickled."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet


def read_cifar(path: Path, classes: int) -> ImageSet:
    """The binary version of CIFAR-10 or CIFAR-100: a folder with .bin files, official test part included."""
    label_bytes = 1 if classes == 10 else 2  # of CIFAR-100 the second one is the fine label
    files = sorted(path.glob("*.bin"))
    if not files:
        raise UsageError(
            f"{path}: no .bin files; get the binary version of CIFAR-{classes} (the Python version "
            "is a pickle, which is not opened: it could run code)"
        )
    pieces: list[Piece] = []
    for file in files:
        rows = np.frombuffer(file.read_bytes(), np.uint8)
        length = label_bytes + 3072
        if len(rows) % length:
            raise UsageError(f"{file}: expected a multiple of {length} bytes, got {len(rows)}; is it cut short?")
        table = rows.reshape(-1, length)
        images = table[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        pieces.append((images, table[:, label_bytes - 1], "test" if "test" in file.stem else "train"))
    return _joined(pieces, classes, f"cifar{classes}")


def read_idx(path: Path) -> ImageSet:
    """A folder with the four IDX files of MNIST or one of its relatives, gzipped or not."""
    pieces: list[Piece] = []
    for prefix, part in (("train", "train"), ("t10k", "test")):
        images = _idx(path, f"{prefix}-images-idx3-ubyte")
        pieces.append((images[..., None], _idx(path, f"{prefix}-labels-idx1-ubyte"), part))
    return _joined(pieces, 10, path.name)


Piece = tuple[NDArray[np.uint8], NDArray[np.uint8], str]
"""Images (n, h, w, channels), labels (n,), and the official part of all."""


def _joined(pieces: Sequence[Piece], classes: int, name: str) -> ImageSet:
    """All images of all parts; class names are numbers."""
    images = np.concatenate([each[0] for each in pieces]).transpose(0, 3, 1, 2)
    labels = np.concatenate([each[1] for each in pieces]).astype(np.int64)
    return ImageSet(
        torch.from_numpy(np.ascontiguousarray(images)),
        torch.from_numpy(labels),
        tuple(str(i) for i in range(classes)),
        name,
        tuple(part for _, own, part in pieces for _ in own),
    )


def _idx(path: Path, name: str) -> NDArray[np.uint8]:
    """An IDX file: big-endian magic number, sizes, bytes."""
    for file, opened in _candidates(path, name):
        raw = opened(file)
        dimensions = raw[3]
        shape = np.frombuffer(raw, ">i4", dimensions, 4)
        data = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
        if len(data) != shape.prod():
            raise UsageError(f"{file}: its header says {shape.tolist()}, but {len(data)} bytes follow; cut short?")
        return data.reshape(shape)
    raise UsageError(f"{path}: no file {name} or {name}.gz")


def _candidates(path: Path, name: str) -> Iterator[tuple[Path, Callable[[Path], bytes]]]:
    if (plain := path / name).exists():
        yield plain, Path.read_bytes
    if (packed := path / f"{name}.gz").exists():
        yield packed, lambda file: gzip.decompress(file.read_bytes())
