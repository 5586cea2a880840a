"""Domains: reading, holding one out, and batches with all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

from mulde.errors import UsageError
from mulde.vision.data.domains import by_domain
from mulde.vision.data.loading import load
from mulde.vision.data.splitting import split
from mulde.vision.training.feeds import ImageFeed


def pictures(folder: Path) -> Path:
    for domain, shade in (("photo", 50), ("sketch", 100), ("art", 150)):
        for label in ("cat", "dog"):
            for number in range(6 if domain == "art" else 4):
                path = folder / domain / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (shade, number, 0)).save(path)
    return folder


def test_a_domain_is_the_test_part(tmp_path: Path) -> None:
    images = load(f"folder:{pictures(tmp_path)},test-domain=sketch")
    assert images.classes == ("cat", "dog") and images.domain_names == ("art", "photo", "sketch")
    assert any("sketch is the test part" in note for note in images.notes)
    parts = split(images, seed=0)
    assert set(parts.test.domains.tolist()) == {2} and len(parts.test) == 8
    assert set(parts.train.domains.tolist()) == {0, 1}
    first = parts.test.pixels()[:, 0]
    assert torch.allclose(first, torch.full_like(first, 100 / 255)), "domains belong to their pictures"


def test_batches_with_all_domains(tmp_path: Path) -> None:
    train = split(load(f"folder:{pictures(tmp_path)},test-domain=sketch"), seed=0).train
    feed = ImageFeed(train, 4, order=by_domain(train.domains), drop_last=True)
    batches = list(feed)
    assert len(batches) == int(train.domains.bincount().min()) // 2
    for batch in batches:
        assert sorted(batch.domains.tolist()) == [0, 0, 1, 1]
        assert torch.equal(batch.domains, train.domains[batch.index])
    feed.set_epoch(1)
    assert not torch.equal(torch.cat([b.index for b in batches]), torch.cat([b.index for b in feed]))


def test_turned_digits() -> None:
    images = load("rotations")
    assert images.domain_names == ("0", "15", "30", "45", "60") and len(images) == 1797
    assert set(split(images, 0).test.domains.tolist()) == {4}
    assert set(split(load("rotations,test-domain=30"), 0).test.domains.tolist()) == {2}
    upright = functional.interpolate(load("digits").pixels()[:1], (16, 16), mode="bilinear")
    assert torch.allclose(images.pixels()[:1], upright, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("rotations,test-domain=90", "no domain 90 to hold out; the domains are 0, 15, 30, 45, 60"),
        ("digits,test-domain=60", "test-domain needs folders DOMAIN/CLASS/name.jpg; these images have no domains"),
    ],
)
def test_no_such_domain(spec: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load(spec)
