"""Augmentation: random changes of a batch of images that keep its labels; drawn from torch's generator.

Each is a function of images (b, channels, h, w); `compose` chains them. Those that crop, `strong_views` among
them, the recipe of SimCLR, need kornia; `small_views` does for images of 8 to 32 pixels without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from mulde.errors import missing
from mulde.vision.data.images import Split

Augmentation = Callable[[Tensor], Tensor]


def compose(*steps: Augmentation) -> Augmentation:
    """Several augmentations in turn."""

    def augmented(images: Tensor) -> Tensor:
        for step in steps:
            images = step(images)
        return images

    return augmented


def of_share(augment: Augmentation, share: float) -> Augmentation:
    """An augmentation that changes each image with probability `share` and leaves the others as they are."""

    def augmented(images: Tensor) -> Tensor:
        chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < share
        return torch.where(chosen, augment(images), images)

    return augmented


def shift(pad: int) -> Augmentation:
    """Move each image by up to `pad` pixels, the border reflected: padding and a random crop."""

    def shifted(images: Tensor) -> Tensor:
        b, _, h, w = images.shape
        padded = functional.pad(images, (pad,) * 4, mode="reflect")
        offset = torch.randint(2 * pad + 1, (2, b, 1), device=images.device)
        rows = offset[0] + torch.arange(h, device=images.device)  # (b, h)
        columns = offset[1] + torch.arange(w, device=images.device)  # (b, w)
        image = torch.arange(b, device=images.device)
        picked = padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (b, h, w, channels)
        return picked.permute(0, 3, 1, 2).contiguous()

    return shifted


def flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability 1/2. Not for digits or letters."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def brightness_and_contrast(strength: float) -> Augmentation:
    """Scale each image around its mean by 1 ± strength and add up to ± strength of its standard deviation."""

    def jittered(images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3), keepdim=True)
        deviation = images.std((1, 2, 3), keepdim=True)
        scale, lift = strength * (2 * torch.rand(2, len(images), 1, 1, 1, device=images.device) - 1)
        return mean + (images - mean) * (1 + scale) + lift * deviation

    return jittered


def erase(probability: float) -> Augmentation:
    """Put the image's mean into a random quarter-sized square, with this probability per image."""

    def erased(images: Tensor) -> Tensor:
        b, _, h, w = images.shape
        height, width = max(1, h // 2), max(1, w // 2)
        rows = torch.arange(h, device=images.device) - torch.randint(h - height + 1, (b, 1), device=images.device)
        columns = torch.arange(w, device=images.device) - torch.randint(w - width + 1, (b, 1), device=images.device)
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        chosen = torch.rand(b, 1, 1, device=images.device) < probability
        return torch.where((inside & chosen)[:, None], images.mean((1, 2, 3), keepdim=True), images)

    return erased


def small_views(pad: int = 2, mirror: bool = True) -> Augmentation:
    """Views of small images for contrastive learning: shift, mirror, brightness and contrast, erasing."""
    steps = [shift(pad), *([flip] if mirror else []), brightness_and_contrast(0.4), erase(0.15)]
    return compose(*steps)


def strong_views(size: int, colour_jitter: float = 1.0) -> Augmentation:
    """SimCLR's: crop of at least 0.08 of the area, mirror, colour jitter, grey, and from 100 pixels on blur.

    Its authors blur ImageNet's images, of 224 pixels, and not CIFAR's; so do DoGo's.
    """
    return crop(size, 0.08, colour_jitter, 0.5 if size >= 100 else 0.0)


def crop(size: int, least: float, colour_jitter: float = 0.0, blur: float = 0.0) -> Augmentation:
    """A random part of each image, brought to `size` and mirrored with probability 1/2; images in [0, 1].

    Parameters
    ----------
    least
        Smallest part of the area.
    colour_jitter
        Strength of SimCLR's change of colours (probability 0.8), which grey (0.2) follows; 0: neither.
    blur
        Probability of a blur by a kernel of a tenth of the size. Grey images, of one channel, stay grey.

    Raises
    ------
    MissingExtra
        Where kornia is missing.
    """
    try:
        import kornia.augmentation as K
    except ImportError as error:
        raise missing("images are cropped by kornia", "vision") from error
    s = colour_jitter
    steps = [K.RandomResizedCrop((size, size), scale=(least, 1.0)), K.RandomHorizontalFlip()]
    if colour_jitter:
        steps += [K.ColorJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s, p=0.8), K.RandomGrayscale(p=0.2)]
    if blur:
        kernel = size // 10 // 2 * 2 + 1
        steps.append(K.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=blur))
    chain: Augmentation = K.AugmentationSequential(*steps, data_keys=["input"])

    def viewed(images: Tensor) -> Tensor:
        return chain(images) if images.shape[1] == 3 else chain(images.expand(-1, 3, -1, -1))[:, :1]

    return viewed


Views = Literal["strong", "small"]


def views_of(split: Split[Any], kind: Views, mirror: bool, colour_jitter: float = 1.0) -> Augmentation:
    """The augmentation of a split's images for contrastive learning, standardised or not.

    Parameters
    ----------
    mirror
        Whether "small" views are mirrored; "strong" ones always are.
    colour_jitter
        Strength of the change of colours in "strong" views.
    """
    if kind == "small":
        return small_views(mirror=mirror)
    return of_pixels(strong_views(split.train.images.shape[-1], colour_jitter), split.scale)


def of_pixels(augment: Augmentation, scale: tuple[Tensor, Tensor] | None) -> Augmentation:
    """An augmentation of images in [0, 1], for images that were standardised by this mean and deviation."""
    if scale is None:
        return augment
    mean, deviation = scale

    def standardised(images: Tensor) -> Tensor:
        return (augment(images * deviation + mean) - mean) / deviation

    return standardised


def cutmix(images: Tensor) -> tuple[Tensor, Tensor, float]:
    """Replace one rectangle of every image by that of another image of the batch (Yun et al. 2019, with α = 1).

    Draws the part of the area that stays uniformly, and the centre of the rectangle, which ends at the borders.

    Returns
    -------
    mixed
        (b, channels, h, w)
    partner
        (b,) row of the image in the rectangle.
    kept
        Part of the area that is the image's own: weight of its label; 1 - kept is that of the partner's.
    """
    b, _, h, w = images.shape
    partner = torch.randperm(b).to(images.device)
    side = (1 - float(torch.rand(()))) ** 0.5
    top, bottom = _cut(h, side)
    left, right = _cut(w, side)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    return mixed, partner, 1 - (bottom - top) * (right - left) / (h * w)


def _cut(length: int, side: float) -> tuple[int, int]:
    """First and last position of a cut of this part of the length around a random centre."""
    centre, half = int(torch.randint(length, ())), round(side * length) // 2
    return max(0, centre - half), min(length, centre + half)
