"""Losses against labels from a network: the teacher's scores, softened by a temperature."""

from __future__ import annotations

from torch import Tensor


def soft_kl(target: Tensor, scores: Tensor, temperature: float = 1.0, smoothing: float = 0.0) -> Tensor:
    """T² · KL(softmax(target/T) ‖ softmax(scores/T)), summed over candidates, mean over the batch.

    Hinton et al. 2015 with the factor T² that keeps gradients comparable across temperatures. Neither side is
    detached here: who may learn from a term is the method's decision.

    Parameters
    ----------
    target, scores
        (b, c) logits of the teacher and of the student on the same candidates.
    temperature
        T.
    smoothing
        Constant added to the target probabilities before their logarithm (MulDE's review-time code: 1e-7).
    """
    soft = (target / temperature).softmax(-1) + smoothing
    own = (scores / temperature).log_softmax(-1)
    terms = soft * (soft.log() - own) if smoothing else soft * ((target / temperature).log_softmax(-1) - own)
    return temperature**2 * terms.sum(-1).mean()
