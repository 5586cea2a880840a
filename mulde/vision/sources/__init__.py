"""Teachers and students from elsewhere, by the text after --teacher or --student.

    resnet20                            a network of ours with new weights
    runs/big  big.zip                   the student of a run, or a bundle
    resnet56:weights.th                 weights for a network of ours
    onnx:PATH  or  PATH.onnx            an ONNX file; it can teach, and not learn
    my_models.py:NAME  or  module:NAME  a module, or a function that makes one, or one of images
    timm:NAME  torchvision:NAME  hf:FOLDER      where these packages are installed

Options follow after commas, with values for every channel: mean=.485,.456,.406,std=.229,.224,.225 is the normalisation
of pixels in [0, 1], size=224 the input size, classes=cat,dog the names of the network's classes, and
stages=layer1,layer2,pooled=avgpool the layers whose outputs are features, by dotted name. A new kind of source is a new
file in this folder.
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from mulde.errors import UsageError, unknown
from mulde.files import user_path
from mulde.vision.models.initial import TEACHERS
from mulde.vision.models.networks import FORMS
from mulde.vision.models.own_input import Input
from mulde.vision.sources._ready import learner, teacher
from mulde.vision.sources._source import OPTIONS, Specification, Wanted
from mulde.vision.sources.python import source_of

NETWORK = re.compile(r"(cnn-|bnext-|resnet\d|wrn-|mlp-|fedavg-|(imagenet|cifar)-resnet|vgg\d|(vit|deit)-)")
"""Beginnings of the names of our networks."""


def open_network(
    spec: str | nn.Module,
    role: str,
    *,
    classes: Sequence[str],
    channels: int,
    size: int | tuple[int, int] | None = None,
    scale: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> nn.Module:
    """The network of a specification, ready for images and classes of the data.

    A teacher gets its own channels, size, normalisation and order of classes (`WithOwnInput`, `WithClasses`), is in
    eval mode and frozen. A teacher for other classes returns no logits, only features. A network that learns takes the
    images as they are.

    Parameters
    ----------
    spec
        See above; or a module, which is copied.
    role
        Name of the role in the method: teacher, student, partner ...
    classes
        Names of the classes of the data.
    channels
        1 for grey, 3 for colour.
    size
        Rows and columns of the images; None: unknown.
    scale
        Mean and deviation (1, channels, 1, 1) by which the images are standardised; None: they are in [0, 1].
    seed
        Seed of new weights.
    report
        Receives sentences about what is assumed or differs.

    Raises
    ------
    UsageError
        For a specification that does not exist or cannot be opened, or a network that does not fit the images.
    """
    parsed = specification(spec) if isinstance(spec, str) else Specification("python", type(spec).__name__)
    sides = (size, size) if isinstance(size, int) else size
    mean, deviation = (None, None) if scale is None else (tuple(map(float, part.flatten())) for part in scale)
    wanted = Wanted(role, role in TEACHERS, tuple(classes), Input(channels, sides, mean, deviation), seed)
    if isinstance(spec, nn.Module):
        found = source_of(copy.deepcopy(spec))
        if wanted.classes == tuple(map(str, range(len(classes)))):  # the data do not name their classes
            found = replace(found, classes=())
    else:
        found = importlib.import_module(f"{__name__}.{parsed.kind}").open_source(parsed, wanted)
    return (teacher if wanted.trained else learner)(found, parsed, wanted, report)


def specification(text: str) -> Specification:
    """The parts of a specification; the kind is guessed where it is not written.

    Raises
    ------
    UsageError
        For an unknown option, or a text that is no source.
    """
    source, *words = text.split(",")
    options: dict[str, tuple[str, ...]] = {}
    name = ""
    for word in words:
        option, equals, value = word.partition("=")
        if equals and option not in OPTIONS:
            raise unknown("option", option, OPTIONS, "the documentation of mulde.vision.sources")
        if not equals and not name:
            raise UsageError(f"{text}: expected option=value after the comma, got {word!r}")
        name = option if equals else name
        options[name] = (*options.get(name, ()), value if equals else word)
    kind, place = _kind(source)
    return Specification(kind, place, options)


def check_place(spec: Specification) -> None:
    """Look whether a source names something that exists, without opening it. Raises UsageError if it does not."""
    module = importlib.import_module(f"{__name__}.{spec.kind}")
    if hasattr(module, "existing"):
        module.existing(spec)


def kinds() -> list[str]:
    """Kinds of sources: the files of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def _kind(source: str) -> tuple[str, str]:
    kind, colon, place = source.partition(":")
    path = user_path(source)
    if colon and kind in kinds():
        return kind, place
    if path.suffix == ".onnx":
        return "onnx", source
    if path.suffix == ".py":
        raise UsageError(f"{source}: which network in this file? Write {source}:NAME")
    if path.is_dir() or path.suffix == ".zip":
        return "run", source
    if path.is_file():
        raise UsageError(f"{source}: weights of which network? Write NAME:{source}, with a NAME like {FORMS}")
    if colon:
        return ("weights" if NETWORK.match(kind) else "python"), source
    if NETWORK.match(source):
        return "new", source
    raise UsageError(
        f"{source}: no file, folder or network of this name; expected a network like {FORMS}; a run folder; "
        f"NAME:WEIGHTS; FILE.py:NAME; or KIND:PLACE with one of {', '.join(kinds())}"
    )
