"""Partitions among clients: complete, disjoint, repeatable, and as uneven as requested."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data import ImageSet
from mulde.vision.data.partition import dirichlet, iid, partitioned, shards

LABELS = (torch.arange(400) % 8)[torch.randperm(400, generator=torch.Generator().manual_seed(0))]


def counts(parts: list[Tensor]) -> Tensor:
    """Images (clients, classes)."""
    return torch.stack([torch.bincount(LABELS[rows], minlength=8) for rows in parts])


@pytest.mark.parametrize(
    "deal",
    [
        lambda seed: iid(400, 10, seed),
        lambda seed: shards(LABELS, 10, 4, seed),
        lambda seed: dirichlet(LABELS, 10, 0.3, seed),
    ],
)
def test_every_image_has_one_owner_whom_the_seed_decides(deal: object) -> None:
    assert callable(deal)
    parts, again, other = deal(1), deal(1), deal(2)
    assert len(parts) == 10 and sorted(torch.cat(parts).tolist()) == list(range(400))
    assert all(map(torch.equal, parts, again)) and not all(map(torch.equal, parts, other))
    assert all(rows.dtype == torch.int64 and torch.equal(rows, rows.sort().values) for rows in parts)


def test_iid_sizes_differ_by_one_at_most() -> None:
    assert sorted(map(len, iid(400, 7, 0))) == [57] * 6 + [58]
    assert (counts(iid(400, 4, 0)) > 0).all()


def test_shards_hold_few_classes_in_equal_parts() -> None:
    """40 pieces of 10 images, 5 of each class: two pieces hold two classes at most, and all sizes are equal."""
    found = counts(shards(LABELS, 20, 2, seed=3))
    assert (found.sum(1) == 20).all() and ((found > 0).sum(1) <= 2).all() and (found.sum(0) == 50).all()
    assert len({tuple(row) for row in (found > 0).tolist()}) > 5


def test_a_small_alpha_is_uneven_and_a_large_one_is_not() -> None:
    """Fraction of a client's largest class, from nearly 1 down to 1/8; a full client gets none of the next class."""

    def largest(alpha: float) -> float:
        found = counts(dirichlet(LABELS, 5, alpha, seed=0))
        return (found.max(1).values / found.sum(1)).mean().item()

    values = [largest(alpha) for alpha in (0.05, 0.5, 5.0, 1000.0)]
    assert values == sorted(values, reverse=True) and values[0] > 0.5 and values[-1] < 0.16
    for seed in range(5):
        parts = dirichlet(LABELS, 5, 0.3, seed, minimum=20)
        held = counts(parts)
        assert held.sum(1).min() >= 20
        before = held.cumsum(1) - held
        assert (held[before >= 80] == 0).all()


def test_by_name() -> None:
    images = ImageSet(torch.arange(400.0).view(-1, 1, 1, 1), LABELS, tuple("abcdefgh"))
    for form, rows in (("iid", iid(400, 4, 5)), ("shards:2", shards(LABELS, 4, 2, 5))):
        parts = partitioned(images, form, 4, seed=5)
        assert [part.images.flatten().tolist() for part in parts] == [part.tolist() for part in rows]
    parts = partitioned(images, "dirichlet:.5", 4, seed=5, minimum=30)
    assert min(map(len, parts)) >= 30 and sum(map(len, parts)) == 400


@pytest.mark.parametrize("form", ["shards", "shards:0", "dirichlet:", "dirichlet:0", "iid:2", "sharp"])
def test_unknown_forms(form: str) -> None:
    images = ImageSet(torch.zeros(400, 1, 1, 1), LABELS, tuple("abcdefgh"))
    with pytest.raises(UsageError) as error:
        partitioned(images, form, 4, 0)
    assert str(error.value) == f'no partition called "{form}"; they look like iid, shards:2, dirichlet:0.5'


def test_too_few_images() -> None:
    images = ImageSet(torch.zeros(40, 1, 1, 1), LABELS[:40], tuple("abcdefgh"))
    with pytest.raises(ValueError) as error:
        partitioned(images, "shards:2", 10, 0, minimum=10)
    assert str(error.value) == (
        "shards:2 leaves one of 10 clients with 4 of 40 images, at least 10 are needed; "
        "take fewer clients or more images"
    )
    with pytest.raises(ValueError) as error:
        partitioned(images, "dirichlet:0.1", 10, 0, minimum=10)
    assert str(error.value) == (
        "1000 draws of dirichlet:0.1 left one of 10 clients with less than 10 of 40 images; "
        "take fewer clients, a larger number after dirichlet: or a smaller minimum"
    )
