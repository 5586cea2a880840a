"""Partition of images among clients: at random, in shards of few classes, by a Dirichlet distribution.

    iid              the same mixture for every client
    shards:2         two pieces of the images sorted by class, hence about two classes each (McMahan et al. 2017)
    dirichlet:0.5    the fractions of every class drawn from Dirichlet(0.5): the smaller, the more uneven

Every image belongs to one client; the partition depends on the seed only.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.images import ImageSet

FORMS = "iid, shards:2, dirichlet:0.5"
ATTEMPTS = 1000


def partitioned(images: ImageSet, form: str, clients: int, seed: int, minimum: int = 1) -> list[ImageSet]:
    """The images of every client, at least `minimum` each, by one of the forms above.

    Raises
    ------
    UsageError
        For a form that does not exist.
    ValueError
        Where there are too few images.
    """
    found = re.fullmatch(r"(iid)|shards:([1-9]\d*)|dirichlet:(\d*\.?\d+)", form)
    if found is None or (found[3] and not float(found[3])):
        raise UsageError(f'no partition called "{form}"; they look like {FORMS}')
    if found[1]:
        rows = iid(len(images), clients, seed)
    elif found[2]:
        rows = shards(images.labels, clients, int(found[2]), seed)
    else:
        rows = dirichlet(images.labels, clients, float(found[3]), seed, minimum)
    smallest = min(map(len, rows))
    if smallest < minimum:
        raise UsageError(
            f"{form} leaves one of {clients} clients with {smallest} of {len(images)} images, at least {minimum} "
            "are needed; take fewer clients or more images"
        )
    return [images[part] for part in rows]


def iid(count: int, clients: int, seed: int) -> list[Tensor]:
    """Row numbers (n_i,) of every client: a random deal, sizes equal to one image."""
    return _sorted(torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tensor_split(clients))


def shards(labels: Tensor, clients: int, each: int, seed: int) -> list[Tensor]:
    """Row numbers of every client: `each` of the pieces of equal size into which the sorted images are cut."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    pieces = order.tensor_split(clients * each)
    dealt = torch.randperm(clients * each, generator=generator).view(clients, each).tolist()
    return _sorted([torch.cat([pieces[i] for i in hand]) for hand in dealt])


def dirichlet(labels: Tensor, clients: int, alpha: float, seed: int, minimum: int = 10) -> list[Tensor]:
    """Row numbers of every client: class by class, fractions drawn from Dirichlet(alpha).

    A client that has its n / clients images gets nothing of the classes that follow, and all is drawn again until
    the smallest client has `minimum` images, as in the code of FedNTD and FedX. Raises UsageError after
    `ATTEMPTS` draws.
    """
    random, fair = np.random.default_rng(seed), len(labels) / clients
    by_class = [(labels == label).nonzero().flatten().numpy() for label in labels.unique().tolist()]
    for _ in range(ATTEMPTS):
        held: list[list[int]] = [[] for _ in range(clients)]
        for rows in by_class:
            fractions = random.dirichlet(np.full(clients, alpha)) * [len(own) < fair for own in held]
            if not fractions.sum() > 0:  # so uneven that all fractions of the clients below the limit are zero
                break
            cuts = (np.cumsum(fractions / fractions.sum())[:-1] * len(rows)).astype(int)
            for own, part in zip(held, np.split(random.permutation(rows), cuts), strict=True):
                own += part.tolist()
        else:
            if min(map(len, held)) >= minimum:
                return _sorted([torch.tensor(own) for own in held])
    raise UsageError(
        f"{ATTEMPTS} draws of dirichlet:{alpha:g} left one of {clients} clients with less than {minimum} of "
        f"{len(labels)} images; take fewer clients, a larger number after dirichlet: or a smaller minimum"
    )


def _sorted(parts: tuple[Tensor, ...] | list[Tensor]) -> list[Tensor]:
    return [part.sort().values for part in parts]
