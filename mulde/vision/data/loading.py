"""Image sets by the text after --data.

    digits                      the digits of scikit-learn
    shapes                      generated shapes; shapes:20000 for so many
    rotations                   the digits turned by 0, 15, 30, 45 and 60 degrees, five domains
    folder:PATH  zip:PATH       the user's own pictures in folders by class; the prefix may be left out
    npz:PATH                    arrays of numpy
    cifar10:PATH  cifar100:PATH          folders with the binary version
    idx:PATH                             a folder with the files of MNIST or Fashion-MNIST

images with boxes for detectors

    scenes                      generated shapes in scenes; scenes:2000 for so many
    voc:PATH                    a folder in the layout of PASCAL VOC
    coco:PATH                   a folder in the layout of COCO, or a JSON file of its kind
    yolo:PATH                   a folder with a text file for every picture, or its data.yaml

and images with a class for every pixel

    masks:PATH                  a folder with pictures and masks of the same names

Options follow after commas:

    size=14          brings all images to 14 x 14
    grey=1           one channel
    skip-broken=1    leaves out pictures that cannot be read
    test-domain=sketch   the outer folder is a domain, the inner one the class, and this domain is the test part
    classes=inner    the class is the folder that holds the picture (outer: the first below the part; path: all)
    void=255         the value of pixels without a class in masks; none: there is none
    workers=4        processes that read pictures
    cache=1000       megabytes of pictures kept in memory, where the set is larger than that
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mulde.errors import UsageError, unknown
from mulde.files import user_path
from mulde.vision.data import reading
from mulde.vision.data.archives import read_npz
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.coco import read_coco
from mulde.vision.data.digits import digits
from mulde.vision.data.domains import held_out, rotations
from mulde.vision.data.folders import read_pictures
from mulde.vision.data.gathering import Options
from mulde.vision.data.images import ImageSet
from mulde.vision.data.layouts import LEVELS
from mulde.vision.data.masks import MaskSet, read_masks
from mulde.vision.data.scenes import scenes
from mulde.vision.data.shapes import shapes
from mulde.vision.data.voc import read_voc
from mulde.vision.data.yolo import read_yolo
from mulde.vision.pictures.files import PICTURES

FORMS = (
    "digits",
    "shapes",
    "rotations",
    "npz:PATH",
    "zip:PATH",
    "folder:PATH",
    "cifar10:PATH",
    "cifar100:PATH",
    "idx:PATH",
)
BOXED_FORMS = ("scenes", "voc:PATH", "coco:PATH", "yolo:PATH")
MASKED_FORMS = ("masks:PATH",)
OPTIONS = {
    "size": "PIXELS",
    "grey": "1",
    "skip-broken": "1",
    "classes": "inner",
    "test-domain": "NAME",
    "void": "VALUE",
    "workers": "COUNT",
    "cache": "MEGABYTES",
}
"""Options after a comma, and what their values look like."""


def names_images(spec: str) -> bool:
    """Whether a text after --data names images; a folder does if a picture is in it."""
    source = re.sub(r"(,[a-z-]+=[^,/]*)+$", "", spec)
    if source.partition(":")[0] in {form.partition(":")[0] for form in (*FORMS, *BOXED_FORMS)}:
        return True
    path = user_path(source)
    pictures = path.rglob("*") if path.is_dir() else ()
    return path.suffix == ".npz" or any(each.suffix.lower() in PICTURES for each in pictures)


def load(spec: str, *, skip_broken: bool = False) -> ImageSet:
    """The images that a specification names; see above.

    Parameters
    ----------
    spec
        The specification.
    skip_broken
        Whether to leave out pictures that cannot be read, as with the option skip-broken=1.

    Raises
    ------
    UsageError
        For a specification that does not exist or cannot be read.
    """
    source, options, words = _parsed(spec, skip_broken)
    images = _read(source, options, words)
    if images.domains is not None:
        images = held_out(images, words.get("test-domain", images.domain_names[-1]))
    elif "test-domain" in words:
        raise UsageError(
            f"--data {spec}: test-domain needs folders DOMAIN/CLASS/name.jpg; these images have no domains"
        )
    if options.grey and images.channels > 1:
        images = dataclasses.replace(images, images=images.pixels().mean(1, keepdim=True))
    return images.resized(options.size) if options.size else images


def load_boxed(spec: str, *, skip_broken: bool = False) -> DetectionSet:
    """The images with boxes that a specification names; parameters and errors as for `load`."""
    source, options, _ = _parsed(spec, skip_broken)
    kind, colon, rest = source.partition(":")
    if kind == "scenes":
        return scenes(_count(rest, 1000, spec), options.size or 64)
    readers: dict[str, Callable[[Path, Options], DetectionSet]] = {
        "voc": read_voc,
        "coco": read_coco,
        "yolo": read_yolo,
    }
    if not colon or kind not in readers:
        raise unknown("form of images with boxes", source, BOXED_FORMS, "mulde ablate --help")
    return readers[kind](_existing(rest, source), options)


def load_masks(spec: str, *, skip_broken: bool = False) -> MaskSet:
    """The images with masks that a specification names; parameters and errors as for `load`."""
    source, options, words = _parsed(spec, skip_broken)
    kind, _, rest = source.partition(":")
    if kind != "masks":
        raise unknown("form of images with masks", source, MASKED_FORMS, "mulde ablate --help")
    return read_masks(_existing(rest, source), options, words.get("void"))


def _parsed(spec: str, skip_broken: bool) -> tuple[str, Options, Mapping[str, str]]:
    """Source, options of reading, and all options as text."""
    source, words = spec, {}
    while (found := re.fullmatch(r"(.*),([a-z-]+)=([^,/]*)", source)) is not None:
        source, name, value = found.groups()
        words[name] = value
    if wrong := set(words) - set(OPTIONS):
        known = " and ".join(f"{name}={value}" for name, value in OPTIONS.items())
        raise UsageError(f'--data {spec}: no option called "{min(wrong)}"; there are {known}')
    if words.get("classes", "outer") not in LEVELS:
        raise UsageError(f"--data {spec}: classes is one of {', '.join(LEVELS)}, got {words['classes']}")

    def number(name: str, least: int) -> int | None:
        value = words.get(name)
        if value is not None and not (value.isdecimal() and int(value) >= least):
            what = "a number of pixels" if name == "size" else "a whole number"
            raise UsageError(f"--data {spec}: {name} is {what}, got {value}")
        return None if value is None else int(value)

    cache = number("cache", 0)
    return (
        source,
        Options(
            number("size", 1),
            _switch(words, "grey", spec),
            _switch(words, "skip-broken", spec) or skip_broken,
            number("workers", 0),
            Options.cache if cache is None else cache,
        ),
        words,
    )


def _switch(words: Mapping[str, str], name: str, spec: str) -> bool:
    if words.get(name, "0") not in ("0", "1"):
        raise UsageError(f"--data {spec}: {name} is 0 or 1, got {words[name]}")
    return words.get(name) == "1"


def _count(text: str, default: int, spec: str) -> int:
    if text and not (text.isdecimal() and int(text)):
        raise UsageError(f"--data {spec}: expected a number of images, got {text}")
    return int(text or default)


def _existing(place: str, source: str) -> Path:
    path = user_path(place)
    if not path.exists():
        raise UsageError(f"--data {source}: {path} does not exist")
    return path


def _read(source: str, options: Options, words: Mapping[str, Any]) -> ImageSet:
    kind, colon, rest = source.partition(":")
    if kind == "digits" and not colon:
        return digits()
    if kind == "shapes":
        return shapes(_count(rest, 4000, source), options.size or 16)
    if kind == "rotations" and not colon:
        return rotations()
    if not colon:
        kind, rest = _guessed(source), source
    path = _existing(rest, source)
    match kind:
        case "npz":
            return read_npz(path)
        case "zip" | "folder":
            return read_pictures(path, options, words.get("classes", "outer"), domains="test-domain" in words)
        case "cifar10" | "cifar100":
            return reading.read_cifar(path, int(kind.removeprefix("cifar")))
        case "idx":
            return reading.read_idx(path)
    raise unknown("form of image data", source, FORMS, "mulde ablate --help")


def _guessed(source: str) -> str:
    path = user_path(source)
    if path.is_dir():
        return "idx" if list(path.glob("*idx3-ubyte*")) else "folder"
    return path.suffix.removeprefix(".").lower() if path.exists() else source
