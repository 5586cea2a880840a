"""KD, symmetric, not-true, decoupled, DIST, standardised: golden values and identities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mulde.errors import UsageError
from mulde.losses.correlation import correlation, dist, standardised
from mulde.losses.soft_labels import (
    Reduction,
    dkd,
    jensen_shannon,
    kd,
    not_true_kl,
    soft_cross_entropy,
    soft_kl,
    symmetric_kl,
    target_class_kl,
    without_label,
)
from tests.losses import restated
from tests.losses.restated import drawn

TARGET, SCORES = drawn(6, 5, seed=1), drawn(6, 5, seed=2)
LABELS = torch.tensor([0, 4, 2, 2, 1, 3])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize(("reduction", "factor"), [("mean", 1 / 6), ("elements", 1 / 30), ("sum", 1.0), ("none", None)])
def test_kd_in_every_reduction(temperature: float, squared: bool, reduction: Reduction, factor: float | None) -> None:
    p, q = (restated.softmax(x.numpy() / temperature) for x in (TARGET, SCORES))
    rows = np.array([restated.kl(a, b) for a, b in zip(p, q, strict=True)])
    rows *= temperature**2 if squared else 1
    expected = torch.from_numpy(rows if factor is None else np.array(rows.sum() * factor))
    assert_close(kd(TARGET, SCORES, temperature, reduction, squared), expected, rtol=1e-11, atol=1e-14)


def test_kd_is_the_soft_loss_of_mulde_without_smoothing() -> None:
    assert_close(kd(TARGET, SCORES, 3.0), soft_kl(TARGET, SCORES, 3.0), rtol=1e-13, atol=0)


def test_dense_outputs_do_not_count_their_positions() -> None:
    """torch's batch mean would multiply the loss of a 2 x 3 map by 6."""
    dense = [x.view(1, 2, 3, 5) for x in (TARGET, SCORES)]
    assert_close(kd(*dense), kd(TARGET, SCORES), rtol=1e-13, atol=0)


def test_unknown_reduction() -> None:
    with pytest.raises(UsageError) as error:
        kd(TARGET, SCORES, reduction="batchmean")  # type: ignore[arg-type]
    assert str(error.value) == 'no reduction called "batchmean"; choose mean, elements, sum or none'


def test_gradient_at_high_temperature() -> None:
    """(z_s - z_t) / k for centred logits, per image (Hinton et al. 2015)."""
    target, scores = (x - x.mean(1, keepdim=True) for x in (TARGET, SCORES))
    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kd(target, leaf, 1e4, "sum"), leaf)
    assert_close(gradient, (scores - target) / 5, rtol=0, atol=1e-3)


def test_soft_cross_entropy_is_kd_plus_entropy() -> None:
    p = (TARGET / 2).softmax(1)
    entropy = -(p * p.log()).sum(1).mean()
    found = soft_cross_entropy(TARGET, SCORES, 2.0)
    assert_close(found, kd(TARGET, SCORES, 2.0, squared=False) + entropy, rtol=1e-12, atol=0)
    assert_close(soft_cross_entropy(TARGET, SCORES, 2.0, squared=True), 4 * found, rtol=1e-12, atol=0)


def test_symmetric() -> None:
    p, q = restated.softmax(TARGET.numpy()), restated.softmax(SCORES.numpy())
    both = [restated.kl(a, b) + restated.kl(b, a) for a, b in zip(p, q, strict=True)]
    assert symmetric_kl(TARGET, SCORES).item() == pytest.approx(np.mean(both) / 2, rel=1e-11)
    assert_close(symmetric_kl(TARGET, SCORES, 3.0), symmetric_kl(SCORES, TARGET, 3.0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("reversed_kl", [False, True])
def test_jensen_shannon_and_its_reversal(reversed_kl: bool) -> None:
    p, q = restated.softmax(TARGET.numpy()), restated.softmax(SCORES.numpy())
    rows = []
    for a, b in zip(p, q, strict=True):
        m = (a + b) / 2
        pairs = ((m, a), (m, b)) if reversed_kl else ((a, m), (b, m))
        rows.append(sum(restated.kl(x, y) for x, y in pairs) / 2)
    assert jensen_shannon(TARGET, SCORES, reversed_kl).item() == pytest.approx(np.mean(rows), rel=1e-11)
    assert_close(jensen_shannon(SCORES, TARGET, reversed_kl), jensen_shannon(TARGET, SCORES, reversed_kl))
    assert jensen_shannon(TARGET, TARGET + 3, reversed_kl).item() == pytest.approx(0, abs=1e-15)


def test_jensen_shannon_is_at_most_ln_2_and_its_reversal_is_not() -> None:
    far = torch.tensor([[0.0, 300.0]]), torch.tensor([[300.0, 0.0]])
    for reversed_kl in (False, True):
        leaf = far[0].clone().requires_grad_()
        value = jensen_shannon(leaf, far[1], reversed_kl)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert torch.isfinite(gradient).all()
        assert value.item() == pytest.approx(150 - np.log(2) if reversed_kl else np.log(2), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_not_true_and_target_class(temperature: float) -> None:
    arguments = (TARGET.numpy(), SCORES.numpy(), LABELS.tolist(), temperature)
    found = not_true_kl(TARGET, SCORES, LABELS, temperature).item()
    assert found == pytest.approx(restated.not_true(*arguments), rel=1e-11)
    found = target_class_kl(TARGET, SCORES, LABELS, temperature).item()
    assert found == pytest.approx(restated.target_class(*arguments), rel=1e-11)


def test_without_label_keeps_the_order() -> None:
    logits = torch.arange(8.0).view(2, 4)
    assert without_label(logits, torch.tensor([1, 3])).tolist() == [[0, 2, 3], [4, 5, 6]]


def test_not_true_does_not_see_the_true_class() -> None:
    """FedNTD: no constant added to it on either side matters, and its gradient is exactly zero."""
    shift = torch.zeros_like(TARGET).scatter_(1, LABELS.unsqueeze(1), 7.0)
    expected = not_true_kl(TARGET, SCORES, LABELS)
    assert torch.equal(not_true_kl(TARGET + shift, SCORES - 3 * shift, LABELS), expected)
    leaf = SCORES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(not_true_kl(TARGET, leaf, LABELS), leaf)
    assert (gradient.gather(1, LABELS.unsqueeze(1)) == 0).all() and gradient.abs().sum() > 0


def test_not_true_of_equal_networks_and_of_two_classes_is_zero() -> None:
    leaf = TARGET.clone().requires_grad_()
    loss = not_true_kl(TARGET, leaf, LABELS)
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert loss.item() == 0
    assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-16)
    two = LABELS.clamp_max(1)
    assert not_true_kl(TARGET[:, :2], SCORES[:, :2], two).item() == 0


def test_dkd_is_the_weighted_sum_of_its_two_parts() -> None:
    arguments = (TARGET.numpy(), SCORES.numpy(), LABELS.tolist(), 4.0)
    expected = restated.target_class(*arguments) + 8 * restated.not_true(*arguments)
    assert dkd(TARGET, SCORES, LABELS).item() == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_is_dkd_with_the_teachers_doubt_as_weight(temperature: float) -> None:
    """KD = TCKD + (1 - p_t(y)) NCKD, image by image (Zhao et al. 2022)."""
    doubt = 1 - (TARGET / temperature).softmax(1).gather(1, LABELS.unsqueeze(1)).squeeze(1)
    arguments = (TARGET, SCORES, LABELS, temperature, "none")
    parts = target_class_kl(*arguments) + doubt * not_true_kl(*arguments)
    assert_close(parts, kd(TARGET, SCORES, temperature, "none"), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 0.5), (0.0, 1.0)])
def test_dist(weights: tuple[float, float]) -> None:
    expected = restated.dist(TARGET.numpy(), SCORES.numpy(), 4.0, *weights)
    assert dist(TARGET, SCORES, 4.0, *weights).item() == pytest.approx(expected, rel=1e-9)


def test_dist_is_zero_for_affine_probabilities() -> None:
    """Per row and per column at once: p' = a p + b with one a and b keeps both correlations at 1."""
    target = TARGET.softmax(1)
    assert dist(target.log(), (0.5 * target + 0.1).log()).item() == pytest.approx(0, abs=1e-12)
    assert dist(TARGET, SCORES).item() > 0.1


def test_correlation_of_a_constant_row_is_zero() -> None:
    constant = torch.ones(2, 4, dtype=torch.float64, requires_grad=True)
    value = correlation(constant, drawn(2, 4, seed=3))
    (gradient,) = torch.autograd.grad(value.sum(), constant)
    assert value.tolist() == [0, 0] and torch.isfinite(gradient).all()


def test_standardised() -> None:
    array = SCORES.numpy()
    expected = (array - array.mean(1, keepdims=True)) / (array.std(1, ddof=1, keepdims=True) + 1e-7)
    assert_close(standardised(SCORES), torch.from_numpy(expected), rtol=1e-12, atol=0)
    found = kd(standardised(TARGET), standardised(7 * SCORES - 3), 2.0)
    assert_close(found, kd(standardised(TARGET), standardised(SCORES), 2.0), rtol=1e-6, atol=0)


def unsafe_kd(target: Tensor, scores: Tensor, temperature: float) -> Tensor:
    """The snippet found everywhere: the logarithm of a softmax."""
    own, theirs = (scores / temperature).softmax(1), (target / temperature).softmax(1)
    return temperature**2 * (theirs * (theirs.log() - own.log())).sum(1).mean()


def test_what_not_to_compute() -> None:
    """It agrees where logits are close, and is not finite where they are far apart; ours is."""
    assert_close(unsafe_kd(TARGET, SCORES, 4.0), kd(TARGET, SCORES, 4.0), rtol=1e-11, atol=0)
    far, near = torch.tensor([[0.0, 200.0, 400.0]]), torch.tensor([[400.0, 200.0, 0.0]])
    for loss, finite in ((unsafe_kd, False), (kd, True)):
        leaf = far.clone().requires_grad_()
        value = loss(near, leaf, 1.0)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert bool(torch.isfinite(value) & torch.isfinite(gradient).all()) is finite
