"""Images with a class for every pixel, from folders of pictures and of masks with the same names.

images/1.jpg  masks/1.png                      also labels, annotations, SegmentationClass, x.jpg and x_mask.png
train/1.jpg   trainannot/1.png  val/ ...       CamVid
train/images/1.jpg   train/masks/1.png         and in the other order
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.annotated import DEFAULT, LARGEST
from mulde.vision.data.gathering import Options, gather
from mulde.vision.data.images import Images
from mulde.vision.data.layouts import CONTAINERS, Part, part_of
from mulde.vision.pictures.class_maps import class_map, coding_of, paired
from mulde.vision.pictures.files import DataFile, listed
from mulde.vision.pictures.wording import counted

_MASKS = re.compile(
    r"(?P<part>.*?)[ _-]?(annot|annotations?|masks?|labels?|gt|gtfine|ground[ _-]?truths?|segmentations?|"
    r"segmentationclass|seg)(png|s)?$",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"[_. -](masks?|labels?|labelids|gt|seg|segmentation|annot|annotation)$", re.IGNORECASE)
PICTURES = CONTAINERS | {"frames", "photos", "leftimg8bit"}


@dataclass(frozen=True)
class MaskSet(Images):
    """Images with a class for every pixel; labels (n, h, w) int16, -1 for pixels without a class."""

    @property
    def strata(self) -> Tensor:
        """(n,) zeros: a split is at random."""
        return torch.zeros(len(self), dtype=torch.int64)


def read_masks(path: Path, options: Options | None = None, void: str | None = None) -> MaskSet:
    """The pictures of a folder or zip and their masks.

    Parameters
    ----------
    path
        Folder or archive.
    options
        How pictures are read.
    void
        The value of pixels without a class, or "none"; by default see `mulde.vision.pictures.class_maps`.

    Raises
    ------
    UsageError
        Where there are no masks, a picture has none, or one cannot be read.
    """
    found = listed(path)
    photos: dict[Part, list[DataFile]] = {}
    maps: dict[Part, list[DataFile]] = {}
    for file in found.pictures:
        part, is_map, name = _sorted(file.name)
        (maps if is_map else photos).setdefault(part, []).append(replace(file, name=name))
    if not maps or not photos:
        raise UsageError(
            f"{path}: {counted(len(found.pictures))}, but {'no masks' if not maps else 'masks alone'}; expected "
            "images/ and masks/, or train/ and trainannot/, with files of the same names"
        )
    files, own, parts = [], [], []
    for part, pictures in photos.items():
        files += pictures
        own += paired(pictures, maps.get(part, []), f"{path}{', ' + part if part else ''}")
        parts += [part] * len(pictures)
    gathered = gather(path, files, options or Options(), DEFAULT, LARGEST)
    kept = [own[i] for i in gathered.kept]
    coding = coding_of(kept, void)
    height, width = gathered.images.shape[2:]
    labels = np.empty((len(kept), height, width), np.int16)
    for i, (file, header) in enumerate(zip(kept, gathered.headers, strict=True)):
        labels[i] = class_map(file, header, (width, height), coding)
    classes = tuple(str(i) for i in range(max(2, int(labels.max(initial=0)) + 1)))
    official = tuple(parts[i] for i in gathered.kept)
    notes = (*found.notes, *_meaning(coding.binary, coding.void), *gathered.notes)
    return MaskSet(
        gathered.images, torch.from_numpy(labels), classes, path.stem, official if all(official) else (), notes=notes
    )


def _sorted(name: str) -> tuple[Part, bool, str]:
    """Part, whether it is a mask, and the name without the folders that say so."""
    pure = PurePosixPath(name)
    part: Part = ""
    is_map = _BESIDE.search(pure.stem) is not None
    rest: list[str] = []
    for folder in pure.parts[:-1]:
        if own := part_of(folder):
            part = own
        elif (mask := _MASKS.fullmatch(folder)) is not None and (part_of(mask["part"]) or not mask["part"]):
            part, is_map = part_of(mask["part"]) or part, True
        elif folder.lower() not in PICTURES:
            rest.append(folder)
    return part, is_map, "/".join([*rest, pure.name])


def _meaning(binary: bool, void: int | None) -> Sequence[str]:
    if binary:
        return ["masks hold 0 and 255, which is taken as class 1; void=255 after --data takes it as no class"]
    return [f"pixels of value {void} in masks have no class"] if void is not None else []
