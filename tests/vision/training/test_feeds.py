"""Feeds: content of an epoch; every batch is a function of seed, epoch and position."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mulde.additions import Additions
from mulde.errors import UsageError
from mulde.vision.data import ImageSet
from mulde.vision.data.augmentation import (
    Augmentation,
    brightness_and_contrast,
    crop,
    erase,
    flip,
    shift,
    small_views,
    strong_views,
    views_of,
)
from mulde.vision.data.splitting import split
from mulde.vision.models import seeded
from mulde.vision.training.feeds import Beside, ImageFeed, class_balanced, pass_over
from mulde.vision.training.options import Training
from tests.vision.toys import images


def seen(feed: ImageFeed, epoch: int) -> list[list[int]]:
    feed.set_epoch(epoch)
    return [batch.index.tolist() for batch in feed]


def test_an_epoch_has_every_image_once_in_an_order_of_its_own() -> None:
    feed = ImageFeed(images(), 20, seed=3)
    first, second = seen(feed, 0), seen(feed, 1)
    assert [len(batch) for batch in first] == [20, 20, 20, 20, 16] and len(feed) == 5
    assert sorted(row for batch in first for row in batch) == list(range(96)) and first != second
    assert seen(ImageFeed(images(), 20, seed=3), 1) == second != seen(ImageFeed(images(), 20, seed=4), 1)
    assert len(ImageFeed(images(), 20, drop_last=True)) == 4
    assert len(seen(ImageFeed(images(), 20, drop_last=True), 0)) == 4


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(41, 20, [20, 21]), (1, 20, [1]), (3, 1, [1, 1, 1]), (42, 20, [20, 20, 2])]
)
def test_a_single_last_image_joins_the_batch_before(count: int, size: int, expected: list[int]) -> None:
    """Batch normalisation has no statistics of one value; no image is lost, and a resumed epoch ends alike."""
    feed = ImageFeed(images()[torch.arange(count)], size)
    batches = seen(feed, 0)
    assert [len(batch) for batch in batches] == expected and len(feed) == len(expected)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    feed.set_epoch(0)
    feed.load_state_dict({"position": len(expected) - 1})
    assert [batch.index.tolist() for batch in feed] == batches[-1:]
    if count > size > 1:
        assert [len(batch) for batch in seen(ImageFeed(feed.images, size, drop_last=True), 0)] == [20, 20][
            : count // 20
        ]


def test_labels_belong_to_images() -> None:
    for batch in ImageFeed(images(), 20):
        assert torch.equal(batch.images, images().images[batch.index])
        assert torch.equal(batch.labels, images().labels[batch.index])


@pytest.mark.parametrize("options", [{}, {"augment": small_views()}, {"augment": small_views(), "views": 2}])
def test_continues_in_the_middle_of_an_epoch(options: dict[str, Any]) -> None:
    def feed() -> ImageFeed:
        return ImageFeed(images(), 20, seed=1, **options)

    whole = feed()
    whole.set_epoch(2)
    iterator = iter(whole)
    next(iterator), next(iterator)
    state, rest = whole.state_dict(), list(iterator)
    torch.manual_seed(99)
    resumed = feed()
    resumed.set_epoch(2)
    resumed.load_state_dict(state)
    again = list(resumed)
    assert len(again) == len(rest) == 3
    for a, b in zip(rest, again, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.index, b.index)
        assert (a.views is None) == (b.views is None) and (a.views is None or torch.equal(a.views, b.views))


def test_class_balanced_histogram_is_flat() -> None:
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    rows = class_balanced(labels, torch.Generator().manual_seed(0))
    counts = torch.bincount(labels[rows]).double()
    assert len(rows) == 1000
    chi_squared = ((counts - 1000 / 3) ** 2 / (1000 / 3)).sum()
    assert chi_squared < 9.21  # 99 % of two degrees of freedom
    assert len(rows[labels[rows] == 2].unique()) == 10


def test_views_differ_and_show_the_same_images() -> None:
    batch = next(iter(ImageFeed(images(), 20, augment=shift(1), views=4)))
    assert batch.views is not None and batch.views.shape == (4, 20, 1, 8, 8)
    assert torch.equal(batch.images, images().images[batch.index])
    assert all(not torch.equal(batch.views[i], batch.views[j]) for i in range(4) for j in range(i))
    difference = (batch.views[0] - batch.images).abs().mean()
    assert difference < (batch.views[0] - batch.images.roll(1, 0)).abs().mean()


def beside(count: int = 96) -> Beside:
    rows = torch.arange(count)
    first = ImageFeed(images(), 20, seed=1, augment=shift(1), views=2, drop_last=True)
    return Beside(first, ImageFeed(images()[rows], 12, seed=2, augment=shift(1), drop_last=True))


def test_beside_every_batch_lies_an_independent_one() -> None:
    feed = beside()
    feed.set_epoch(3)
    found, second = list(feed), ImageFeed(images(), 12, seed=2, augment=shift(1), drop_last=True)
    second.set_epoch(3)
    assert len(found) == len(feed) == 4
    for batch, expected in zip(found, second, strict=False):
        assert batch.others is not None and torch.equal(batch.others, expected.images)
        assert batch.views is not None and batch.views.shape == (2, 20, 1, 8, 8) and len(batch.others) == 12


def test_the_second_feed_begins_anew_where_it_is_shorter() -> None:
    found = [batch.others for batch in beside(40)]  # 3 batches beside 4
    assert all(others is not None for others in found)
    assert torch.equal(found[3], found[0]) and not torch.equal(found[1], found[0])


def test_beside_continues_in_the_middle_of_an_epoch() -> None:
    whole = beside()
    iterator = iter(whole)
    next(iterator), next(iterator)
    state, rest = whole.state_dict(), list(iterator)
    resumed = beside()
    resumed.load_state_dict(state)
    for a, b in zip(rest, resumed, strict=True):
        assert torch.equal(a.index, b.index) and torch.equal(a.others, b.others)


def test_a_feed_draws_nothing_from_the_outside() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    list(ImageFeed(images(), 20, augment=small_views()))
    assert torch.equal(torch.rand(2), expected)


def test_neither_feeds_nor_fresh_networks_seed_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    list(ImageFeed(images(), 20, augment=small_views()))
    with seeded(3, "network"):
        torch.rand(1)
    assert not seeds


def test_refusals() -> None:
    with pytest.raises(ValueError, match="2 views need an augmentation"):
        ImageFeed(images(), 8, views=2)
    with pytest.raises(ValueError, match="96 images make no batch of 100; take a smaller batch"):
        ImageFeed(images(), 100, drop_last=True)


def test_pass_over_is_in_order() -> None:
    batches = list(pass_over(images(), 50))
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(96))


GRADIENT = torch.arange(64.0).view(1, 1, 8, 8).expand(300, 1, 8, 8)


def test_shift_moves_by_up_to_its_padding() -> None:
    torch.manual_seed(0)
    moved = shift(2)(GRADIENT)
    corner = moved[:, 0, 4, 4] - 36
    expected = {8 * rows + columns for rows in range(-2, 3) for columns in range(-2, 3)}
    assert {int(value) for value in corner} == expected
    plain = (moved[:, 0, 1:7, 2:6].diff(dim=2) == 1).all(2)
    assert plain.float().mean() > 0.5  # neighbours stay neighbours


def test_flip_erase_and_jitter() -> None:
    torch.manual_seed(0)
    flipped = flip(GRADIENT)
    mirrored = (flipped == GRADIENT.flip(3)).all((1, 2, 3))
    assert ((flipped == GRADIENT).all((1, 2, 3)) ^ mirrored).all() and 100 < mirrored.sum() < 200
    erased = erase(0.5)(GRADIENT)
    changed = (erased != GRADIENT).sum((1, 2, 3))
    assert set(changed.tolist()) == {0, 16} and 100 < (changed > 0).sum() < 200
    jittered = brightness_and_contrast(0.4)(GRADIENT)
    slope = jittered[:, 0, 0, 1] - jittered[:, 0, 0, 0]
    assert 0.6 <= slope.min() < 0.7 and 1.3 < slope.max() <= 1.4


def test_strong_views() -> None:
    pytest.importorskip("kornia")
    coloured = ImageSet(torch.rand(6, 3, 8, 8), torch.zeros(6, dtype=torch.int64), ("a",))
    feed = ImageFeed(coloured, 6, augment=strong_views(8), views=2)
    first, again = (
        next(iter(feed)).views,
        next(iter(ImageFeed(coloured, 6, augment=strong_views(8), views=2))).views,
    )
    assert first is not None and again is not None
    assert first.shape == (2, 6, 3, 8, 8) and torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_simclr_takes_parts_of_at_least_008_of_the_area_and_blurs_large_images_only() -> None:
    pytest.importorskip("kornia")
    torch.manual_seed(0)
    gradient = torch.linspace(0, 1, 16).expand(400, 3, 16, 16)  # how much of its width a part has is how much it rises
    rise = (lambda parts: (parts[:, 0, 0, -1] - parts[:, 0, 0, 0]).abs())(crop(16, 0.08)(gradient))
    widths = (15 * rise + 1) / 16  # at least the root of 0.08 · 3/4, which is 0.245; of 0.2 · 3/4 it is 0.387
    assert 0.15 < widths.min() < 0.34 and widths.max() > 0.9

    def by(augment: Augmentation, noise: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return augment(noise)

    small, large = torch.rand(6, 3, 16, 16), torch.rand(6, 3, 120, 120)
    assert torch.equal(by(strong_views(16, 0.0), small), by(crop(16, 0.08), small))
    blurred, sharp = by(strong_views(120, 0.0), large), by(crop(120, 0.08), large)
    roughness = [x.diff(dim=3).abs().mean((1, 2, 3)) for x in (blurred, sharp)]
    assert 0 < (roughness[0] < 0.9 * roughness[1]).sum() < 6


def test_parts_of_images_keep_their_colours_or_change_them_in_the_unit_range() -> None:
    """A difference of 0.5 between red and green outlives cropping, not a change of contrast."""
    pytest.importorskip("kornia")
    red = torch.rand(40, 1, 8, 8) / 2 + 0.5
    plain = split(ImageSet(torch.cat([red, red - 0.5, red], 1), torch.arange(40) % 2, ("a", "b")), 0)
    for augment, kept in (("crop-flip", True), ("crop-flip-jitter", False)):
        feeds = [Training(1, 20, augment).feed(x.train, 3) for x in (plain, plain.standardised())]
        found, scaled = (next(iter(feed)).images for feed in feeds)
        lift = found[:, 0] - found[:, 1]
        assert torch.allclose(lift, torch.tensor(0.5), atol=1e-5) == kept
        mean, deviation = plain.standardised().train.scale or (0, 1)
        torch.testing.assert_close(scaled * deviation + mean, found, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_strong_views_of_standardised_images_are_those_of_the_pixels(channels: int) -> None:
    """Colours are changed in [0, 1], where kornia cuts them off; a standardised image is half below it."""
    pytest.importorskip("kornia")
    pixels = ImageSet(torch.rand(40, channels, 8, 8), torch.arange(40) % 2, ("a", "b"))
    plain = split(pixels, 0)
    scaled = plain.standardised()
    assert scaled.scale is not None
    mean, deviation = scaled.scale
    found = []
    for part in (plain, scaled):
        torch.manual_seed(5)
        found.append(views_of(part, "strong", mirror=True)(part.train.pixels()))
    assert torch.allclose(found[1] * deviation + mean, found[0], atol=1e-5)
    assert (found[1] < -1).float().mean() > 0.05


def test_a_share_of_no_augmentation_is_refused() -> None:
    with pytest.raises(UsageError, match="--augment-share needs an augmentation; choose one with --augment or --korn"):
        Training(augment="none", augment_share=0.5).feed(images(), 0)
    cycle = Additions(cycle=("feed.augment_share=0:1",))
    with pytest.raises(UsageError, match=r"--cycle feed\.augment_share needs an augmentation"):
        Training(augment="none", additions=cycle).feed(images(), 0)


def test_a_share_of_the_images_is_augmented() -> None:
    feed = ImageFeed(images(), 96, augment=lambda given: given + 100, augment_share=0.25)
    changed = []
    for epoch in range(20):
        feed.set_epoch(epoch)
        changed.append(next(iter(feed)).images.mean((1, 2, 3)) > 50)
    assert 0.2 < torch.stack(changed).float().mean() < 0.3
    feed.set_epoch(3)
    assert torch.equal(next(iter(feed)).images.mean((1, 2, 3)) > 50, changed[3]), "it is no function of the epoch"
    feed.augment_share = 0.0
    feed.set_epoch(3)
    assert next(iter(feed)).images.mean() < 50
