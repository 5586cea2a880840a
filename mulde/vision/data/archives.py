"""Images and labels in one npz archive of numpy. Nothing is unpickled.

    images, labels                                    also x, y or data, targets
    x_train, y_train, x_test, y_test                  as Keras names them
    train_images, train_labels, val_images, ...       as MedMNIST does
    classes                                           optional, names of the classes

Images are (n, h, w), (n, h, w, channels) or (n, channels, h, w); uint8, uint16, or floating point in [0, 1] or
[0, 255]. Labels are numbers from 0, (n,) or (n, 1), -1 where unknown, or names, or one-hot rows (n, k).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet
from mulde.vision.data.layouts import WORDS
from mulde.vision.pictures.wording import counted, few

KINDS = dict.fromkeys(("images", "image", "imgs", "x", "data", "pixels"), "images") | dict.fromkeys(
    ("labels", "label", "y", "targets", "target"), "labels"
)
NAMES = {"classes", "class_names", "label_names"}


def read_npz(path: Path) -> ImageSet:
    """The images of an archive, with official parts where it has them.

    Raises
    ------
    UsageError
        Where arrays are missing, cut short, or do not fit each other.
    """
    arrays = _arrays(path)
    names = next((arrays[name].astype(str).tolist() for name in arrays if name.lower() in NAMES), None)
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, values in arrays.items():
        if key := _key(name):
            found.setdefault(key[0], {})[key[1]] = values
    whole = {part: both for part, both in found.items() if len(both) == 2}
    if not whole:
        raise UsageError(
            f"{path}: expected the arrays images and labels, found {', '.join(arrays) or 'none'}; "
            "save them with numpy.savez(path, images=..., labels=...)"
        )
    images, labels, parts = [], [], []
    for part, both in whole.items():
        where = f"{path}, {part or 'all'} images"
        pixels = _pixels(both["images"], where)
        if len(pixels) != len(both["labels"]):
            raise UsageError(f"{where}: there are {len(pixels)} images and {len(both['labels'])} labels")
        images.append(pixels)
        labels.append(_flat(both["labels"], where))
        parts += [part] * len(pixels)
    if len({(each.shape[1:], each.dtype) for each in images}) > 1:
        raise UsageError(f"{path}: its parts have images of {' and '.join(str(each.shape[1:]) for each in images)}")
    ids, classes = _numbered(np.concatenate(labels), names, path)
    return ImageSet(
        torch.from_numpy(np.concatenate(images)),
        torch.from_numpy(ids),
        classes,
        path.stem,
        tuple(parts) if all(parts) else (),
        notes=_unused(ids, classes),
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UsageError(f"{path}: one array; expected an npz archive with the arrays images and labels")
        with archive:
            return {name: archive[name] for name in archive.files}
    except UsageError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"{path}: expected an npz archive of arrays of numbers, without Python objects, which could run code; "
            f"{error}"
        ) from error


def _key(name: str) -> tuple[str, str] | None:
    """Part and kind of an array by its name."""
    words = [word for word in re.split(r"[_\W]+", name.lower()) if word]
    parts = [WORDS[word] for word in words if word in WORDS]
    kinds = [KINDS[word] for word in words if word in KINDS]
    if len(kinds) != 1 or len(parts) > 1 or len(words) != len(kinds) + len(parts):
        return None
    return (parts[0] if parts else ""), kinds[0]


def _pixels(images: NDArray[Any], where: str) -> NDArray[Any]:
    """Images as uint8 or float32 in [0, 1], (n, channels, h, w)."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and (images.shape[3] in (1, 3) or images.shape[1] not in (1, 3)):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or not images.size or images.shape[1] not in (1, 3, 4):
        raise UsageError(
            f"{where}: expected images (n, h, w) or (n, h, w, channels) with 1 or 3 channels, "
            f"got {images.dtype} {images.shape}"
        )
    images = _in_range(images, where)
    if images.shape[1] == 4:  # laid on white
        top = 255 if images.dtype == np.uint8 else 1
        alpha = images[:, 3:].astype(np.float32) / top
        flat = images[:, :3] * alpha + top * (1 - alpha)
        images = np.rint(flat).astype(np.uint8) if top == 255 else flat.astype(np.float32)
    return np.ascontiguousarray(images)


def _in_range(images: NDArray[Any], where: str) -> NDArray[Any]:
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255)
    low, high = (float(images.min()), float(images.max())) if images.dtype.kind in "iuf" else (np.nan, np.nan)
    if images.dtype.kind == "f" and low >= 0 and high <= 255:
        return (images / (1 if high <= 1 else 255)).astype(np.float32)
    if images.dtype.kind in "iu" and low >= 0 and (high <= 255 or images.dtype == np.uint16):
        return (images if images.dtype != np.uint16 else np.rint(images / 257)).astype(np.uint8)
    raise UsageError(
        f"{where}: expected uint8, uint16, or floating point in [0, 1], got {images.dtype} from {low:g} to {high:g}"
    )


def _flat(labels: NDArray[Any], where: str) -> NDArray[Any]:
    """Labels (n,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "biuf" and ((labels == 0) | (labels == 1)).all():
        if (labels.sum(1) == 1).all():
            return labels.argmax(1)
        raise UsageError(f"{where}: some have several labels or none; expected one class for every image")
    if labels.ndim != 1:
        raise UsageError(f"{where}: expected labels (n,), got {labels.shape}")
    return labels


def _numbered(
    labels: NDArray[Any], names: Sequence[str] | None, path: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as numbers, and the names of the classes."""
    if labels.dtype.kind in "US":
        found, ids = np.unique(labels.astype(str), return_inverse=True)
        return ids.astype(np.int64), tuple(found.tolist())
    if labels.dtype.kind not in "biuf":
        raise UsageError(f"{path}: labels are whole numbers from 0 or names, got {labels.dtype}")
    _refuse(labels, ~np.isfinite(labels) | (labels != np.rint(labels)), "not whole", path)
    _refuse(labels, labels < -1, "below 0", path)
    if names is not None:
        _refuse(labels, labels >= len(names), f"too large for {counted(len(names), 'class name')}", path)
        return labels.astype(np.int64), tuple(names)
    used = np.unique(labels[labels >= 0]).astype(np.int64)
    gaps = np.diff(used, prepend=-1) - 1
    if gaps.sum() > len(used):  # most classes would have no pictures
        first = used[gaps.argmax()]
        _refuse(labels, labels >= first, f"after {gaps.max():,} numbers that no picture has", path)
    return labels.astype(np.int64), tuple(map(str, range(used.max(initial=-1) + 1)))


def _refuse(labels: NDArray[Any], wrong: NDArray[np.bool_], why: str, path: Path) -> None:
    """Raise UsageError where labels are wrong: which ones, and of how many pictures."""
    if not wrong.any():
        return
    values = np.unique(labels[wrong]).tolist()
    one, be = ("label", "is") if len(values) == 1 else ("labels", "are")
    raise UsageError(
        f"{path}: {one} {few(map(str, values))} ({counted(int(wrong.sum()))}) {be} {why}; number the classes from 0 "
        "without gaps, -1 for unknown, or give all their names as an array called classes"
    )


def _unused(labels: NDArray[np.int64], classes: Sequence[str]) -> tuple[str, ...]:
    """A sentence about classes without pictures."""
    absent = np.setdiff1d(np.arange(len(classes)), labels)
    return (f"no picture has the label {few(classes[i] for i in absent)}",) if len(absent) else ()
