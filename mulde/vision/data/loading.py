"""Image sets by the text after --data.

    digits                      the digits of scikit-learn
    shapes                      generated shapes; shapes:20000 for so many
    npz:PATH  zip:PATH  folder:PATH      the user's own images; the prefix may be left out
    cifar10:PATH  cifar100:PATH          folders with the binary version
    idx:PATH                             a folder with the files of MNIST or Fashion-MNIST

and images with boxes for detectors

    scenes                      generated shapes in scenes; scenes:2000 for so many
    voc:PATH                    a folder in the layout of PASCAL VOC
    coco:PATH                   a folder in the layout of COCO, or a JSON file of its kind

Options follow after commas: size=14 brings all images to 14 x 14, grey=1 takes one channel.
"""

from __future__ import annotations

import dataclasses

from mulde.errors import UsageError, unknown
from mulde.files import user_path
from mulde.vision.data import reading
from mulde.vision.data.annotations import read_coco, read_voc
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.digits import digits
from mulde.vision.data.images import ImageSet
from mulde.vision.data.scenes import scenes
from mulde.vision.data.shapes import shapes

FORMS = (
    "digits",
    "shapes",
    "npz:PATH",
    "zip:PATH",
    "folder:PATH",
    "cifar10:PATH",
    "cifar100:PATH",
    "idx:PATH",
)
BOXED_FORMS = ("scenes", "voc:PATH", "coco:PATH")


def load(spec: str) -> ImageSet:
    """The images that a specification names; see above.

    Raises
    ------
    UsageError
        For a specification that does not exist or cannot be read.
    """
    source, options = _parsed(spec)
    size = int(options["size"]) if "size" in options else None
    images = _read(source, size, grey=options.get("grey") == "1")
    if options.get("grey") == "1" and images.channels > 1:
        images = dataclasses.replace(images, images=images.pixels().mean(1, keepdim=True))
    return images.resized(size) if size else images


def load_boxed(spec: str) -> DetectionSet:
    """The images with boxes that a specification names.

    Raises
    ------
    UsageError
        For a specification that does not exist or cannot be read.
    """
    source, options = _parsed(spec)
    size = int(options["size"]) if "size" in options else None
    kind, colon, rest = source.partition(":")
    if kind == "scenes":
        return scenes(int(rest or 1000), size or 64)
    readers = {"voc": read_voc, "coco": read_coco}
    if not colon or kind not in readers:
        raise unknown("form of images with boxes", source, BOXED_FORMS, "mulde ablate --help")
    path = user_path(rest)
    if not path.exists():
        raise UsageError(f"--data {source}: {path} does not exist")
    return readers[kind](path, size, options.get("grey") == "1")


def _parsed(spec: str) -> tuple[str, dict[str, str]]:
    source, *words = spec.split(",")
    options = dict(word.partition("=")[::2] for word in words)
    if wrong := set(options) - {"size", "grey"}:
        raise UsageError(f'--data {spec}: no option called "{min(wrong)}"; there are size=PIXELS and grey=1')
    if not options.get("size", "1").isdecimal():
        raise UsageError(f"--data {spec}: size is a number of pixels, got {options['size']}")
    return source, options


def _read(source: str, size: int | None, grey: bool) -> ImageSet:
    kind, colon, rest = source.partition(":")
    if kind == "digits" and not colon:
        return digits()
    if kind == "shapes":
        return shapes(int(rest or 4000), size or 16)
    if not colon:
        kind, rest = _guessed(source), source
    path = user_path(rest)
    if not path.exists():
        raise UsageError(f"--data {source}: {path} does not exist")
    match kind:
        case "npz":
            return reading.read_npz(path)
        case "zip":
            return reading.read_zip(path, size, grey)
        case "folder":
            return reading.read_folder(path, size, grey)
        case "cifar10" | "cifar100":
            return reading.read_cifar(path, int(kind.removeprefix("cifar")))
        case "idx":
            return reading.read_idx(path)
    raise unknown("form of image data", source, FORMS, "mulde ablate --help")


def _guessed(source: str) -> str:
    path = user_path(source)
    if path.is_dir():
        return "idx" if list(path.glob("*idx3-ubyte*")) else "folder"
    return path.suffix.removeprefix(".") if path.exists() else source
