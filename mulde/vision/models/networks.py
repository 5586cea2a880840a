"""Networks by name, as written on a command line.

    cnn-8-16-32     plain convolutions, one per stage, with these widths; for quick checks
    bnext-16-32-64  binary convolutions with gates, two blocks for each of these widths; for the method bnext
    resnet20        residual network of He et al. 2016 for small images, 6n + 2 layers: 8, 14, 20, 32, 56, 110
    resnet8x4       the same, four times as wide after the first layer, which is twice as wide
    resnet20-padded the same as resnet20 with shortcuts without weights (option A of the paper, as in many weights for
                    CIFAR-10)
    wrn-16-2        wide residual network of depth 6n + 4 and width factor 2
    mlp-256-256     fully connected layers of these widths, each a stage whose map has one position
    fedavg-32-64-512    the network of McMahan et al. 2017: 5x5 convolutions of these widths, each halved by max
                    pooling, then a fully connected layer of the last width; no normalisation
    imagenet-resnet50   residual network of He et al. 2016 for large images: 18, 34, 50, 101, 152; x2 after it makes it
                    twice as wide
    cifar-resnet18  the same with the first layer for small images: 3x3, nothing halved before the first stage
    vgg16           convolutions of Simonyan and Zisserman 2015, normalised; 5 stages, 11, 13, 16 or 19
    vit-tiny-patch16    vision transformer on patches of 16 x 16 pixels: tiny, small, base, or WIDTH-DEPTH-HEADS, for
                    example vit-64-4-2-patch4
    deit-tiny-patch16   the same with a distillation token, for the method deit; the logits are the mean of two heads

Other depths and widths have names of the same form.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from torch import nn

from mulde.errors import UsageError
from mulde.vision.models.architecture import made_by
from mulde.vision.models.binary import BinaryBlock
from mulde.vision.models.blocks import (
    Block,
    Bottleneck,
    CosineClassifier,
    Plain,
    Preactivated,
    Residual,
    convolution,
    padded,
    stage,
)
from mulde.vision.models.staged import StagedNetwork
from mulde.vision.models.transformer import VisionTransformer

FORMS = (
    "cnn-8-16-32, bnext-16-32-64, resnet20 (depth 6n + 2), resnet8x4, wrn-16-2 (depth 6n + 4), mlp-64-64, "
    "fedavg-32-64-512, imagenet-resnet50, cifar-resnet18, vgg16, vit-tiny-patch16, deit-tiny-patch16"
)
LARGE: dict[str, tuple[Block, int, tuple[int, ...]]] = {
    "18": (Residual, 1, (2, 2, 2, 2)),
    "34": (Residual, 1, (3, 4, 6, 3)),
    "50": (Bottleneck, 4, (3, 4, 6, 3)),
    "101": (Bottleneck, 4, (3, 4, 23, 3)),
    "152": (Bottleneck, 4, (3, 8, 36, 3)),
}
"""Residual networks of four stages by depth: block, how much wider it ends than it is inside, blocks per stage."""
TRANSFORMERS = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}
"""Width, depth and heads."""
VGG = {"11": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}
"""Convolutions per stage."""


def network(
    name: str,
    classes: int,
    input_channels: int = 3,
    *,
    channels: int = 16,
    cosine: bool = False,
    size: int | None = None,
) -> StagedNetwork:
    """A network by name; weights are drawn here, see `seeded`.

    Parameters
    ----------
    channels
        Channels of the first stage of a residual network of three stages, doubled in each further one.
    cosine
        Whether to use a cosine classifier in place of the linear one.
    size
        Rows and columns of the images; only fully connected networks and transformers depend on it.

    Raises
    ------
    UsageError
        For a name or depth that does not exist.
    """
    found = _made(name, classes, input_channels, channels, cosine, size)
    found.architecture = made_by(
        "network", name=name, classes=classes, input_channels=input_channels, channels=channels, cosine=cosine,
        size=size,
    )  # fmt: skip
    return found


def _made(name: str, classes: int, input_channels: int, channels: int, cosine: bool, size: int | None) -> StagedNetwork:
    if name.startswith(("mlp-", "fedavg-")):
        return _of_one_size(name, classes, input_channels, size)
    if match := re.fullmatch(r"(vit|deit)-(tiny|small|base|\d+-\d+-\d+)-patch(\d+)", name):
        width, depth, heads = TRANSFORMERS.get(match[2]) or map(int, match[2].split("-"))
        return VisionTransformer(
            classes, input_channels, width=width, depth=depth, heads=heads, patch=int(match[3]),
            size=_known(name, size), distilled=match[1] == "deit",
        )  # fmt: skip
    if match := re.fullmatch(r"(imagenet|cifar)-resnet(18|34|50|101|152)(?:x(\d+))?", name):
        return _large(match[2], classes, input_channels, int(match[3] or 1), match[1] == "imagenet", cosine)
    if match := re.fullmatch(r"vgg(11|13|16|19)", name):
        return _vgg(VGG[match[1]], classes, input_channels, cosine)
    block, depth, stem, widths = plan(name, channels)
    stages, before = [], stem
    for i, width in enumerate(widths):
        stages.append(stage(block, depth, before, width, 1 if i == 0 else 2))
        before = width
    first = convolution(input_channels, stem)
    preactivated = block is Preactivated
    return StagedNetwork(
        first if preactivated else nn.Sequential(first, nn.BatchNorm2d(stem), nn.ReLU()),
        stages,
        nn.Sequential(nn.BatchNorm2d(before), nn.ReLU()) if preactivated else nn.Identity(),
        _classifier(before, classes, cosine),
        widths,
    )


def plan(name: str, channels: int = 16) -> tuple[Block, int, int, Sequence[int]]:
    """Block, blocks per stage, channels of the stem, and channels of every stage of a network."""
    if match := re.fullmatch(r"cnn((?:-\d+)+)", name):
        widths = [int(width) for width in match[1].split("-")[1:]]
        return Plain, 1, widths[0], widths
    if match := re.fullmatch(r"bnext((?:-\d+)+)", name):
        widths = [int(width) for width in match[1].split("-")[1:]]
        return BinaryBlock, 2, widths[0], widths
    if match := re.fullmatch(r"resnet(\d+)(?:x(\d+))?(-padded)?", name):
        blocks, factor = _blocks(name, int(match[1]), 2), int(match[2] or 1)
        stem = channels if factor == 1 else 2 * channels
        return padded if match[3] else Residual, blocks, stem, [factor * channels * 2**i for i in range(3)]
    if match := re.fullmatch(r"wrn-(\d+)-(\d+)", name):
        blocks, factor = _blocks(name, int(match[1]), 4), int(match[2])
        return Preactivated, blocks, channels, [factor * channels * 2**i for i in range(3)]
    raise UsageError(f'no network called "{name}"; names look like {FORMS}')


def _classifier(width: int, classes: int, cosine: bool) -> nn.Module:
    return CosineClassifier(width, classes) if cosine else nn.Linear(width, classes)


def _large(depth: str, classes: int, input_channels: int, factor: int, halved: bool, cosine: bool) -> StagedNetwork:
    """A residual network of four stages; halved: a first layer for large images, to a quarter of their size."""
    block, expansion, depths = LARGE[depth]
    stem = 64 * factor
    first = convolution(input_channels, stem, 2, 7) if halved else convolution(input_channels, stem)
    layers: list[nn.Module] = [first, nn.BatchNorm2d(stem), nn.ReLU()]
    if halved:
        layers.append(nn.MaxPool2d(3, 2, 1))
    widths = [stem * expansion * 2**i for i in range(4)]
    stages = [
        stage(block, depth, before, width, 1 if i == 0 else 2)
        for i, (depth, before, width) in enumerate(zip(depths, [stem, *widths], widths, strict=False))
    ]
    return StagedNetwork(
        nn.Sequential(*layers), stages, nn.Identity(), _classifier(widths[-1], classes, cosine), widths
    )


def _vgg(depths: Sequence[int], classes: int, input_channels: int, cosine: bool) -> StagedNetwork:
    """Its convolutions, each but the first stage after a pooling that halves; one linear layer in place of three."""
    widths = [64, 128, 256, 512, 512]
    stages: list[nn.Module] = []
    for i, (depth, before, width) in enumerate(zip(depths, [input_channels, *widths], widths, strict=False)):
        pooling = [nn.MaxPool2d(2, ceil_mode=True)] if i else []
        stages.append(nn.Sequential(*pooling, *stage(Plain, depth, before, width, 1)))
    return StagedNetwork(nn.Identity(), stages, nn.Identity(), _classifier(512, classes, cosine), widths)


def _of_one_size(name: str, classes: int, input_channels: int, size: int | None) -> StagedNetwork:
    """Networks with a fully connected layer on all positions, for images of one size."""
    if not re.fullmatch(r"mlp(-\d+)+|fedavg(-\d+){2,}", name):
        raise UsageError(f'no network called "{name}"; names look like {FORMS}')
    size = _known(name, size)
    kind, *words = name.split("-")
    widths = [int(word) for word in words]
    if kind == "fedavg":
        return _fedavg(widths, classes, input_channels, size)
    pixels = input_channels * size**2
    stages = [
        nn.Sequential(nn.Conv2d(before, width, 1), nn.ReLU())  # at a single position a linear layer
        for before, width in itertools.pairwise([pixels, *widths])
    ]
    stem = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (pixels, 1, 1)))
    return StagedNetwork(stem, stages, nn.Identity(), nn.Linear(widths[-1], classes), widths)


def _known(name: str, size: int | None) -> int:
    """The size of the images, for a network that depends on it."""
    if size is None:
        raise UsageError(
            f'"{name}" is made for images of one size, and this method gives no size of the images; choose another '
            "network"
        )
    return size


def _fedavg(widths: Sequence[int], classes: int, input_channels: int, size: int) -> StagedNetwork:
    stages: list[nn.Module] = []
    for before, width in itertools.pairwise([input_channels, *widths[:-1]]):
        stages.append(nn.Sequential(nn.Conv2d(before, width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)))
        size //= 2
    stages.append(nn.Sequential(nn.Conv2d(widths[-2], widths[-1], size), nn.ReLU()))  # all positions at once
    return StagedNetwork(nn.Identity(), stages, nn.Identity(), nn.Linear(widths[-1], classes), widths)


def _blocks(name: str, depth: int, rest: int) -> int:
    """Blocks per stage of a network with 6n + rest layers."""
    if depth <= rest or (depth - rest) % 6:
        near = max(1, round((depth - rest) / 6))
        raise UsageError(f'"{name}": the depth is 6n + {rest}; got {depth}, the nearest is {6 * near + rest}')
    return (depth - rest) // 6
