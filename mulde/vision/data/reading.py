"""Images from the user's files: npz archives, folders and zips of pictures, binary CIFAR batches, IDX files.

Nothing is unpickled. Parts called val or validation are "valid".
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mulde.errors import UsageError, missing
from mulde.vision.data.images import ImageSet, concatenate

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm"}
PARTS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}


def read_npz(path: Path) -> ImageSet:
    """Arrays `images` (n, h, w) or (n, h, w, channels), uint8, and `labels` (n,); no official split."""
    with np.load(path, allow_pickle=False) as archive:
        missing = {"images", "labels"} - set(archive.files)
        if missing:
            raise UsageError(
                f"{path}: expected the arrays images and labels, found {', '.join(archive.files) or 'none'}; "
                f"save them with numpy.savez(path, images=..., labels=...)"
            )
        images, labels = archive["images"], archive["labels"].astype(np.int64)
    return from_bytes(images, labels, [str(i) for i in range(int(labels.max()) + 1)], path.stem)


def read_folder(path: Path, size: int | None = None, grey: bool = False) -> ImageSet:
    """Pictures as class/name.png or part/class/name.png (the layout of torchvision's ImageFolder).

    Parameters
    ----------
    size
        Rows and columns that every picture is brought to; needed where they differ.
    grey
        Whether to convert pictures to one channel.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES)
    names = [PurePosixPath(file.relative_to(path).as_posix()) for file in files]
    return _pictures(path, zip(names, (file.read_bytes for file in files), strict=True), size, grey)


def read_zip(path: Path, size: int | None = None, grey: bool = False) -> ImageSet:
    """A zip of pictures in the layout of `read_folder`."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if PurePosixPath(name).suffix.lower() in PICTURES)
        files = ((PurePosixPath(name), lambda name=name: archive.read(name)) for name in names)
        return _pictures(path, files, size, grey)


def read_cifar(path: Path, classes: int) -> ImageSet:
    """The binary version of CIFAR-10 or CIFAR-100: a folder with .bin files, official test part included."""
    label_bytes = 1 if classes == 10 else 2  # of CIFAR-100 the second one is the fine label
    files = sorted(path.glob("*.bin"))
    if not files:
        raise UsageError(
            f"{path}: no .bin files; get the binary version of CIFAR-{classes} (the Python version "
            "is a pickle, which is not opened: it could run code)"
        )
    parts = []
    for file in files:
        rows = np.frombuffer(file.read_bytes(), np.uint8)
        length = label_bytes + 3072
        if len(rows) % length:
            raise UsageError(f"{file}: expected a multiple of {length} bytes, got {len(rows)}; is it cut short?")
        table = rows.reshape(-1, length)
        images = table[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        names = [str(i) for i in range(classes)]
        part = "test" if "test" in file.stem else "train"
        labels = table[:, label_bytes - 1].astype(np.int64)
        parts.append(from_bytes(images, labels, names, f"cifar{classes}", part))
    return concatenate(parts)


def read_idx(path: Path) -> ImageSet:
    """A folder with the four IDX files of MNIST or one of its relatives, gzipped or not."""
    parts = []
    for prefix, part in (("train", "train"), ("t10k", "test")):
        images = _idx(path, f"{prefix}-images-idx3-ubyte")
        labels = _idx(path, f"{prefix}-labels-idx1-ubyte").astype(np.int64)
        parts.append(from_bytes(images, labels, [str(i) for i in range(10)], path.name, part))
    return concatenate(parts)


def from_bytes(
    images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Iterable[str], name: str, part: str = ""
) -> ImageSet:
    """uint8 images (n, h, w) or (n, h, w, channels) as an `ImageSet`; part: the official part of all."""
    pixels = images[..., None] if images.ndim == 3 else images
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise UsageError(
            f"{name}: expected images uint8 (n, h, w) or (n, h, w, channels), got {images.dtype} {images.shape}"
        )
    parts = (part,) * len(labels) if part else ()
    return ImageSet(torch.tensor(pixels.transpose(0, 3, 1, 2)), torch.tensor(labels), tuple(classes), name, parts)


def room(path: Path, count: int, like: Tensor) -> Tensor:
    """For so many pictures like this one (channels, h, w): uint8 (count, channels, h, w).

    Raises
    ------
    UsageError
        Where they are more than this machine's memory, which holds them twice while they are divided.
    """
    channels, height, width = like.shape
    needed, there = 2 * count * channels * height * width, _memory()
    if needed > there:
        raise UsageError(
            f"{path}: {count:,} pictures of {width} x {height} pixels, divided into parts, take {needed / 1e9:.1f} GB, "
            f"and this machine has {there / 1e9:.1f} GB of memory, in which all are kept; give a smaller size, as in "
            "size=64"
        )
    return torch.empty(count, *like.shape, dtype=torch.uint8)


def put(pixels: Tensor, images: Tensor, i: int, name: str, path: Path) -> None:
    """Store a picture (channels, h, w) at position ``i`` of images.

    Raises
    ------
    UsageError
        If its shape is another one.
    """
    if pixels.shape != images.shape[1:]:
        raise UsageError(
            f"{path}: {name} has {pixels.shape[2]} x {pixels.shape[1]} pixels, others have "
            f"{images.shape[3]} x {images.shape[2]}; give a common size, as in size=32"
        )
    images[i] = pixels


def bytes_of(picture: Any) -> Tensor:
    """A picture of Pillow, grey or in colour, as uint8 (channels, h, w)."""
    pixels = np.asarray(picture)
    return torch.tensor(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _pictures(
    path: Path, files: Iterable[tuple[PurePosixPath, Callable[[], bytes]]], size: int | None, grey: bool
) -> ImageSet:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pictures are read with Pillow", "vision") from error
    images = torch.empty(0)
    labels, parts = [], []
    found = list(files)
    for i, (name, read) in enumerate(found):
        picture = Image.open(io.BytesIO(read())).convert("L" if grey else "RGB")
        if size is not None and picture.size != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BOX)
        pixels = bytes_of(picture)
        if not i:
            images = room(path, len(found), pixels)
        put(pixels, images, i, str(name), path)
        labels.append(name.parent.name)
        parts.append(PARTS.get(name.parent.parent.name.lower(), ""))
    if not found:
        raise UsageError(f"{path}: no pictures; expected class/name.png or train/class/name.png")
    classes = sorted(set(labels))
    ids = torch.tensor([classes.index(label) for label in labels])
    return ImageSet(images, ids, tuple(classes), path.stem, tuple(parts) if all(parts) else ())


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
