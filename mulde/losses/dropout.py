"""Losses between two dropout samples of one feature: self-distillation through the classifier alone."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from mulde.losses.soft_labels import kd


def dropout_distillation(
    features: Tensor,
    classifier: Callable[[Tensor], Tensor],
    rate: float = 0.5,
    temperature: float = 3.0,
    detach: bool = False,
) -> Tensor:
    """T² · [KL(p_u ‖ p_v) + KL(p_v ‖ p_u)] of two dropout samples u, v of a feature (SD-Dropout, Lee et al. 2022).

    p_u = softmax(classifier(u)/T); sum over classes, mean over the batch. Kept entries are divided by 1 - rate.

    Parameters
    ----------
    features
        (b, d) input of the classifier.
    classifier
        (b, d) -> logits (b, k); called twice.
    rate
        Probability that an entry is dropped, in [0, 1); 0 gives a loss of 0.
    temperature
        T.
    detach
        False: both arguments of both KLs have gradients. True: the first argument, the target, has none.
    """
    first, second = (classifier(functional.dropout(features, rate)) for _ in range(2))
    targets = (first.detach(), second.detach()) if detach else (first, second)
    return kd(targets[0], second, temperature) + kd(targets[1], first, temperature)
