"""Images from several domains: which domain is held out, batches with all domains, and turned digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from mulde.errors import UsageError
from mulde.vision.data.digits import digits
from mulde.vision.data.images import ImageSet

ANGLES = (0, 15, 30, 45, 60)
"""Degrees by which the digits are turned."""


def held_out(images: ImageSet, name: str) -> ImageSet:
    """The images with those of one domain as the test part (leave-one-domain-out).

    Raises
    ------
    UsageError
        Where there is no such domain, or no other.
    """
    names = images.domain_names
    if images.domains is None or name not in names or len(names) < 2:
        raise UsageError(f"{images.name}: no domain {name} to hold out; the domains are {', '.join(names) or 'none'}")
    final = images.domains == names.index(name)
    parts = tuple("test" if here else "train" for here in final.tolist())
    found = ", ".join(f"{each} {int((images.domains == i).sum()):,}" for i, each in enumerate(names))
    note = f"domains: {found}; {name} is the test part, and no part of training or validation"
    return replace(images, parts=parts, notes=(*images.notes, note))


def domains_of(images: ImageSet) -> Tensor:
    """The domains (n,) of images from two or more.

    Raises
    ------
    UsageError
        Where there are no domains, or one.
    """
    if images.domains is None or len(images.domains.unique()) < 2:
        raise UsageError(
            f"{images.name or 'the images'}: the method needs training images of two domains or more; give folders "
            "DOMAIN/CLASS/name.jpg, and --data folder:PATH,test-domain=NAME, which holds one of them out"
        )
    return images.domains


def by_domain(domains: Tensor) -> Callable[[Tensor, torch.Generator], Tensor]:
    """An order in which the domains take turns, each until the smallest one is used up.

    Parameters
    ----------
    domains
        (n,) int64.

    Returns
    -------
    function
        Labels (n,) and a generator -> rows. A batch of a multiple of the number of domains has as many images of each.
    """
    numbers = domains.unique().tolist()

    def order(labels: Tensor, generator: torch.Generator) -> Tensor:
        rows = [(domains == number).nonzero().flatten() for number in numbers]
        shuffled = [own[torch.randperm(len(own), generator=generator)] for own in rows]
        least = min(map(len, shuffled))
        return torch.stack([own[:least] for own in shuffled], 1).flatten()

    return order


def rotations() -> ImageSet:
    """The digits of scikit-learn, enlarged to 16 x 16 and turned; each is in one domain.

    The images are divided among the domains by their number, so that no image is in two domains.
    """
    plain = digits()
    large = functional.interpolate(plain.pixels(), (16, 16), mode="bilinear", align_corners=False)
    domains = torch.arange(len(plain)) % len(ANGLES)
    radians = torch.tensor(ANGLES, dtype=torch.float32).deg2rad()[domains]
    cosine, sine, zero = radians.cos(), radians.sin(), torch.zeros(len(plain))
    turn = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    grid = functional.affine_grid(turn, list(large.shape), align_corners=False)
    turned = functional.grid_sample(large, grid, align_corners=False).clamp(0, 1)
    return ImageSet(
        turned, plain.labels, plain.classes, "rotations", domains=domains, domain_names=tuple(map(str, ANGLES))
    )
