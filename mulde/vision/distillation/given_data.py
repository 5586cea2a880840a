"""Data that are given in Python: image sets, datasets and loaders of torch, pictures and labels in any of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mulde.engine.device import random_state, restore_random_state
from mulde.engine.protocol import Needs
from mulde.errors import UsageError
from mulde.vision.data.images import Images, ImageSet, Split
from mulde.vision.distillation.data import read_split
from mulde.vision.distillation.loader import LoaderBatches, checked_batch


def split_of(
    needs: Needs,
    train: Any,
    valid: Any = None,
    test: Any = None,
    *,
    classes: Sequence[str] | int | None = None,
    networks: Iterable[Any] = (),
    seed: int = 0,
) -> tuple[Split[Any], LoaderBatches | None]:
    """The parts of given data, and the batches of a loader.

    Parameters
    ----------
    needs
        Needs of the method.
    train
        Text as after ``--data``, a `Split`, an image set, a dataset of pictures and labels, or a loader of their
        batches. A dataset is read once: its random changes are those of the first reading.
    valid, test
        Sets, datasets or loaders of the other parts; None: there is none.
    classes
        Names of the classes or their number; None: those of the dataset, or as many as a network has logits.
    networks
        Given networks, for the number of classes.
    seed
        Seed of the split.

    Raises
    ------
    UsageError
        For data of another form, or a loader where the method makes the batches itself.
    """
    if isinstance(train, str | Split) and (valid is not None or test is not None):
        raise UsageError("train already has parts for validation and test; leave out valid and test")
    if isinstance(train, str):
        return read_split(needs, train, seed), None
    if isinstance(train, Split):
        return dataclasses.replace(train, seed=seed), None
    batches = None
    if not isinstance(train, Images) and _is_loader(train):
        _refuse_loader(needs)
        sample = _first_batch(train)
        names = _names(classes, train, networks, sample)
        whole: Any = ImageSet(*sample, classes=names, name="loader")
        batches = LoaderBatches(train, len(names))
    else:
        whole = _as_set(train, classes, networks)
    empty = whole[torch.arange(0)]
    held, final = (empty if part is None else _as_set(part, whole.classes, ()) for part in (valid, test))
    found: Split[Any] = Split(whole, held, final, seed)
    plain = batches is None and whole.scale is None and whole.images.dtype == torch.uint8
    return (found.standardised() if plain else found), batches


def _refuse_loader(needs: Needs) -> None:
    if needs.data == "images" and not needs.controls:
        return
    why = f"makes the {', '.join(sorted(needs.controls))} of its batches itself" if needs.controls else "needs boxes"
    raise UsageError(f"train: the method {why}, so a loader cannot replace them; give a dataset, or a path as text")


def _is_loader(source: Any) -> bool:
    return isinstance(source, DataLoader) or (hasattr(source, "__iter__") and not hasattr(source, "__getitem__"))


def _first_batch(loader: Any) -> tuple[Tensor, Tensor]:
    """Pictures and labels of the first batch; the random state is as before."""
    outside = random_state()
    try:
        return checked_batch(next(iter(loader)), None)
    except StopIteration:
        raise UsageError("train: expected batches of pictures and labels, but the loader has none") from None
    finally:
        restore_random_state(outside)


def _names(classes: Any, source: Any, networks: Iterable[Any], sample: tuple[Tensor, Tensor]) -> tuple[str, ...]:
    if classes is None:
        classes = getattr(getattr(source, "dataset", source), "classes", None)
    if classes is None:
        classes = _logits(networks, sample[0][:2])
    if classes is None:
        if _is_loader(source):
            raise UsageError("the number of classes is not known; give classes, their names or their number")
        classes = int(sample[1].max()) + 1 if len(sample[1]) else 0
    return tuple(map(str, range(classes) if isinstance(classes, int) else classes))


def _logits(networks: Iterable[Any], images: Tensor) -> int | None:
    """Number of logits of the first network that classifies these images."""
    for network in networks:
        if not isinstance(network, nn.Module):
            continue
        training = network.training
        try:
            with torch.no_grad():
                found = network.eval()(images)
        except (RuntimeError, TypeError, ValueError):  # explained where the networks are checked
            continue
        finally:
            network.train(training)
        logits = getattr(found, "logits", found)
        if isinstance(logits, Tensor) and logits.ndim == 2:
            return logits.shape[1]
    return None


def _as_set(source: Any, classes: Any, networks: Iterable[Any]) -> Any:
    """A set as it is; a dataset or loader as a set in memory."""
    if isinstance(source, Images):
        return source
    if isinstance(source, str):
        raise UsageError("valid and test are sets, datasets or loaders; text is given as train, which has all parts")
    items = list(_items(source))
    if not items:
        raise UsageError(f"expected pictures with labels, but the {type(source).__name__} has none")
    images, labels = zip(*items, strict=True)
    sizes = {tuple(image.shape) for image in images}
    if len(sizes) > 1 or len({image.dtype for image in images}) > 1:
        some = ", ".join(map(str, sorted(sizes)[:3]))
        raise UsageError(f"expected pictures of one size and type, got {some}; resize them in the dataset")
    sample = torch.stack(images), torch.tensor(labels)
    return ImageSet(*sample, classes=_names(classes, source, networks, sample), name=type(source).__name__)


def _items(source: Any) -> Iterator[tuple[Tensor, int]]:
    """Pictures (channels, h, w) and labels, -1 where there is none."""
    if _is_loader(source):
        for item in source:
            yield from ((image, int(label)) for image, label in zip(*checked_batch(item, None), strict=True))
        return
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise UsageError(
            f"expected a dataset of pictures and labels, a loader or an image set, got {type(source).__name__}"
        )
    for number in range(len(source)):
        item = source[number]
        picture, label = item[:2] if isinstance(item, tuple | list) and len(item) >= 2 else (item, -1)
        yield _picture(picture, number), int(label)


def _picture(picture: Any, number: int) -> Tensor:
    if not isinstance(picture, Tensor):
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim not in (2, 3):
            raise UsageError(
                f"item {number} of the dataset: expected a picture as a tensor (channels, rows, columns) or of Pillow, "
                f"got {type(picture).__name__}"
            )
        picture = torch.from_numpy(array.copy())
        picture = picture[None] if picture.ndim == 2 else picture.permute(2, 0, 1)
    if picture.ndim != 3 or picture.shape[0] > 16:
        raise UsageError(
            f"item {number} of the dataset: expected a picture (channels, rows, columns), got {tuple(picture.shape)}"
        )
    return picture if picture.dtype == torch.uint8 else picture.float()
