"""Feature losses against loops in numpy, and their invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mulde.errors import UsageError
from mulde.losses import features
from tests.losses import restated
from tests.losses.restated import drawn

OWN, TARGET = drawn(4, 3, 2, 5, seed=1), drawn(4, 3, 2, 5, seed=2)  # (b, d, h, w)
VECTORS, OTHERS = drawn(5, 3, seed=3), drawn(5, 7, seed=4)


def test_hint_is_the_mean_square() -> None:
    expected = ((OWN.numpy() - TARGET.numpy()) ** 2).sum() / (4 * 3 * 2 * 5)
    assert features.hint(OWN, TARGET).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [features.hint, features.cosine_distance])
def test_other_shapes_are_refused(loss: object) -> None:
    with pytest.raises(UsageError) as error:
        loss(VECTORS, OTHERS)  # type: ignore[operator]
    assert str(error.value) == (
        "the student's feature has shape (5, 3), the teacher's (5, 7); "
        "bring the student's to the teacher's shape with an adapter"
    )


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_attention(power: float) -> None:
    maps = [[restated.attention(image, power) for image in x.numpy()] for x in (OWN, TARGET)]
    assert_close(features.attention_map(OWN, power).numpy(), np.array(maps[0]), rtol=1e-11, atol=0)
    expected = np.mean((np.array(maps[0]) - np.array(maps[1])) ** 2)
    assert features.attention_distance(OWN, TARGET, power).item() == pytest.approx(expected, rel=1e-11)


def test_attention_transfer_adds_stages_and_pools_the_larger() -> None:
    small, wide = drawn(4, 2, 2, 3, seed=5), drawn(4, 6, 4, 6, seed=6)
    pooled = torch.from_numpy(wide.numpy().reshape(4, 6, 2, 2, 3, 2).mean((3, 5)))
    expected = features.attention_distance(small, pooled) + features.attention_distance(OWN, TARGET)
    assert_close(features.attention_transfer([small, OWN], [wide, TARGET]), expected, rtol=1e-12, atol=0)
    assert_close(features.attention_transfer([wide, OWN], [small, TARGET]), expected, rtol=1e-12, atol=0)
    with pytest.raises(UsageError, match="as many stages of the student as of the teacher; got 1 and 2"):
        features.attention_transfer([OWN], [OWN, TARGET])


def test_attention_does_not_see_scale_nor_the_number_of_channels() -> None:
    assert features.attention_distance(OWN, -3 * torch.cat([OWN, OWN], 1)).item() == pytest.approx(0, abs=1e-25)


def test_map_distance() -> None:
    units = [x.numpy().reshape(4, -1) for x in (OWN, TARGET)]
    units = [x / np.sqrt((x**2).sum(1, keepdims=True)) for x in units]
    expected = np.mean((units[0] - units[1]) ** 2)
    assert features.map_distance(OWN, 5 * TARGET).item() == pytest.approx(expected, rel=1e-11)


def test_relational_distance_and_angle() -> None:
    arrays = VECTORS.numpy(), OTHERS.numpy()
    found = features.relational_distance(VECTORS, OTHERS).item()
    assert found == pytest.approx(restated.rkd_distance(*arrays), rel=1e-6)
    assert features.relational_angle(VECTORS, OTHERS).item() == pytest.approx(restated.rkd_angle(*arrays), rel=1e-9)


def test_relations_do_not_see_rotation_shift_and_scale() -> None:
    rotation = torch.linalg.qr(drawn(3, 3, seed=7)).Q
    moved = 4 * VECTORS @ rotation + 2
    assert features.relational_distance(VECTORS, moved).item() == pytest.approx(0, abs=1e-9)
    assert features.relational_angle(VECTORS, moved).item() == pytest.approx(0, abs=1e-25)


@pytest.mark.parametrize(
    "loss", [features.relational_distance, features.relational_angle, features.similarity_preserving]
)
def test_two_equal_images_have_finite_gradients(loss: object) -> None:
    leaf = torch.cat([VECTORS, VECTORS[:1]]).requires_grad_()
    target = torch.cat([OTHERS, OTHERS[:1]])
    (gradient,) = torch.autograd.grad(loss(leaf, target), leaf)  # type: ignore[operator]
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_similarity_matrices() -> None:
    a, b = VECTORS.numpy(), OTHERS.numpy()
    unit = a / np.sqrt((a**2).sum(1, keepdims=True))
    assert_close(features.similarity_matrix(VECTORS).numpy(), unit @ unit.T, rtol=1e-11, atol=1e-14)
    grams = [x @ x.T / np.sqrt(((x @ x.T) ** 2).sum(1, keepdims=True)) for x in (a, b)]
    expected = ((grams[0] - grams[1]) ** 2).sum() / 25
    assert features.similarity_preserving(VECTORS, OTHERS).item() == pytest.approx(expected, rel=1e-11)


def test_cosine_distance() -> None:
    a, b = VECTORS.numpy(), 2 * VECTORS.numpy() + 1
    cosines = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    found = features.cosine_distance(VECTORS, 2 * VECTORS + 1)
    assert found.item() == pytest.approx(1 - np.mean(cosines), rel=1e-11)
    assert_close(features.cosine_distance(5 * VECTORS, 2 * VECTORS + 1), found, rtol=1e-11, atol=0)
