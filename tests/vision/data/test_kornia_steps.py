"""Augmentations of kornia by name: repeatable, safe to read, refused in a sentence."""

from __future__ import annotations

import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data.kornia_steps import kornia_steps
from mulde.vision.training.options import Training
from tests.vision import toys

pytest.importorskip("kornia")


def test_augmentations_of_kornia_by_name() -> None:
    grey, colour = torch.rand(4, 1, 9, 8), torch.rand(4, 3, 9, 8)
    for images in (grey, colour):
        step = kornia_steps("RandomRotation(15, p=1.0) + RandomErasing(p=1.0)", images.shape[1], (9, 8))
        torch.manual_seed(0)
        one = step(images)
        torch.manual_seed(0)
        assert torch.equal(step(images), one) and not torch.equal(step(images), one) and one.shape == images.shape
    for text, message in (
        ("RandomRotatoin(15)", 'no augmentation of kornia called "RandomRotatoin"; nearest: RandomRotation'),
        ("RandomMixUpV2()", 'no augmentation of kornia called "RandomMixUpV2"'),  # mixes images, and so their labels
        ("RandomRotation(open('x'))", "expected names of kornia's augmentations with their arguments, joined by +"),
        ("RandomRotation(15", "as in RandomRotation(15)+RandomGrayscale(p=0.2)"),
        ("RandomRotation(colour=3)", "augmentation RandomRotation: kornia refuses its arguments, TypeError"),
        ("CenterCrop(4)", "makes images (3, 4, 4) of (3, 9, 8); they must keep their size"),
    ):
        with pytest.raises(UsageError) as error:
            kornia_steps(text, 3, (9, 8))
        assert message in str(error.value)


def test_batches_augmented_by_kornia_are_repeated() -> None:
    images = toys.toy_split().train
    training = Training(batch_size=16, augment="flip", kornia="RandomRotation(30, p=1.0)")
    first, again = training.feed(images, 3), training.feed(images, 3)
    whole = [batch.images for batch in first]
    again.load_state_dict({"position": 2})
    assert all(torch.equal(one, two.images) for one, two in zip(whole[2:], again, strict=True))
    plain = next(iter(Training(batch_size=16, augment="flip").feed(images, 3))).images
    assert not torch.equal(whole[0], plain)
    with pytest.raises(UsageError, match=r"got augment=none, kornia=RandomRotation"):
        Training(augment="none", kornia="RandomRotation(3)").box_feed(toys.boxed_split().train, 0)
