"""What was found in data, in a few lines for a person: classes, parts, sizes, and what was changed in reading."""

from __future__ import annotations

from collections import Counter

from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Images
from mulde.vision.data.masks import MaskSet
from mulde.vision.pictures.wording import counted

FEW = 8


def described(images: Images) -> str:
    """Number and size of images, classes with their counts, official parts, and the notes of the reader.

    Parameters
    ----------
    images
        A set of images with labels, boxes or masks, as `mulde.vision.data.load` returns it.

    Returns
    -------
    Lines, without a line break at the end.
    """
    height, width = images.images.shape[2:]
    colour = "grey" if images.channels == 1 else "colour" if images.channels == 3 else f"{images.channels} channels"
    lines = [f"{counted(len(images), 'image')} of {width} x {height} pixels, {colour}", _classes(images)]
    if images.parts:
        parts = Counter(images.parts)
        lines.append(
            "parts: " + ", ".join(f"{part} {parts[part]:,}" for part in ("train", "valid", "test") if parts[part])
        )
    return "\n".join([*lines, *images.notes])


def _classes(images: Images) -> str:
    things = {DetectionSet: "boxes", MaskSet: "pixels"}.get(type(images), "images")
    counts = list(zip(images.classes, images.counts().tolist(), strict=True))
    shown = ", ".join(f"{name} {count:,}" for name, count in counts[:FEW])
    rest = len(counts) - FEW
    more = f" and {rest} more with {sum(count for _, count in counts[FEW:]):,}" if rest > 0 else ""
    unknown = int((images.labels < 0).sum()) if things == "images" else 0
    classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
    return f"{classes}: {shown}{more} {things}" + (f"; {unknown:,} without a class" if unknown else "")
