"""Flatness of the loss around trained weights: Hessian, and the increase of the loss within a radius.

All functions take the loss as a function without arguments, computed in eval mode on fixed examples, and the parameters
that it depends on. The weights are as before when a function returns. To compare networks, take the cross entropy with
hard labels for all of them, whatever they were trained on. A network with less confident outputs has another Hessian at
the same decisions; compare at a fitted temperature (`fitted_temperature`) as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[], Tensor]
"""The scalar loss at the present weights."""
Direction = Sequence[Tensor]
"""A tensor for each parameter."""


def hessian_trace(loss: Loss, parameters: Sequence[nn.Parameter], samples: int = 100, seed: int = 0) -> float:
    """Trace of the Hessian, the mean of vᵀHv over vectors v of random signs (Hutchinson 1989).

    Parameters
    ----------
    loss, parameters
        See this module.
    samples
        Number of vectors; each costs a Hessian-vector product.
    seed
        Seed of the vectors.
    """
    product, generator, total = _hessian_product(loss, parameters), torch.Generator().manual_seed(seed), 0.0
    for _ in range(samples):
        signs = [torch.randint(2, p.shape, generator=generator).to(p) * 2 - 1 for p in parameters]
        total += float(_inner(signs, product(signs)))
    return total / samples


def largest_eigenvalue(
    loss: Loss, parameters: Sequence[nn.Parameter], iterations: int = 100, tolerance: float = 1e-4, seed: int = 0
) -> float:
    """Eigenvalue of the Hessian with the largest absolute value, by power iteration.

    Parameters
    ----------
    iterations
        Most Hessian-vector products.
    tolerance
        Relative change of the eigenvalue at which the iteration ends.
    """
    product, generator = _hessian_product(loss, parameters), torch.Generator().manual_seed(seed)
    vector, value = _drawn(parameters, generator), 0.0
    for _ in range(iterations):
        norm = _inner(vector, vector).sqrt().clamp_min(1e-30)
        vector = [part / norm for part in vector]
        image = product(vector)
        before, value = value, float(_inner(vector, image))
        if abs(value - before) <= tolerance * abs(value):
            break
        vector = image
    return value


def filter_normalised_direction(parameters: Sequence[nn.Parameter], generator: torch.Generator) -> list[Tensor]:
    """A Gaussian direction in which every filter has the norm of the filter of the weights (Li et al. 2018).

    A filter is a row of a parameter with two or more dimensions. Biases and the parameters of normalisations, which
    have one, are left as they are: their direction is 0.
    """
    directions = []
    for parameter, drawn in zip(parameters, _drawn(parameters, generator), strict=True):
        if parameter.ndim < 2:
            directions.append(torch.zeros_like(drawn))
            continue
        own, norm = (values.detach().flatten(1).norm(dim=1) for values in (drawn, parameter))
        factor = norm / own.clamp_min(1e-12)
        directions.append(drawn * factor.view(-1, *[1] * (parameter.ndim - 1)))
    return directions


def filter_normalised_sharpness(
    loss: Loss, parameters: Sequence[nn.Parameter], radius: float = 0.1, samples: int = 20, seed: int = 0
) -> float:
    """Mean of L(w + ρd) - L(w) over filter-normalised Gaussian directions d; it does not depend on scales of filters.

    Parameters
    ----------
    radius
        ρ, as a fraction of the norm of every filter.
    samples
        Number of directions.
    """
    generator, total = torch.Generator().manual_seed(seed), 0.0
    with torch.no_grad():
        here = float(loss())
        for _ in range(samples):
            with moved(parameters, filter_normalised_direction(parameters, generator), radius):
                total += float(loss()) - here
    return total / samples


def ascent_sharpness(loss: Loss, parameters: Sequence[nn.Parameter], radius: float = 0.05) -> float:
    """L(w + ρ g / ‖g‖) - L(w) with the gradient g: the largest increase within ρ to first order (Foret et al. 2021).

    It contains the slope at w, so that it is also large where a training has not converged.
    """
    here = loss()
    gradient = torch.autograd.grad(here, list(parameters))
    norm = _inner(gradient, gradient).sqrt().clamp_min(1e-12)
    with torch.no_grad(), moved(parameters, gradient, radius / float(norm)):
        return float(loss()) - float(here)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T in [0.05, 20] with the least CE(logits / T, labels), by a search with steps of 2 %.

    Parameters
    ----------
    logits
        (n, k)
    labels
        (n,) int64.
    """
    candidates = torch.logspace(-1.301, 1.301, 303, dtype=torch.float64)
    losses = [functional.cross_entropy(logits.detach().double().cpu() / t, labels.cpu()) for t in candidates]
    return float(candidates[int(torch.stack(losses).argmin())])


def flatness(
    logits: Callable[[], Tensor], parameters: Sequence[nn.Parameter], labels: Tensor
) -> list[dict[str, float]]:
    """All measures of this module for a classifier, at T = 1 and at the temperature that fits these labels best.

    Parameters
    ----------
    logits
        Computes the logits (n, k) of the fixed examples, in eval mode.
    parameters
        The parameters that they depend on; float64 where small curvatures matter.
    labels
        (n,) int64.

    Returns
    -------
    Two rows with ``temperature``, ``hessian_trace``, ``largest_eigenvalue``, ``filter_sharpness`` (ρ = 0.1) and
    ``ascent_sharpness`` (ρ = 0.05).
    """
    with torch.no_grad():
        fitted = fitted_temperature(logits(), labels)
    rows = []
    for temperature in (1.0, fitted):

        def loss(temperature: float = temperature) -> Tensor:
            return functional.cross_entropy(logits() / temperature, labels)

        rows.append(
            {
                "temperature": temperature,
                "hessian_trace": hessian_trace(loss, parameters, samples=50),
                "largest_eigenvalue": largest_eigenvalue(loss, parameters, iterations=50),
                "filter_sharpness": filter_normalised_sharpness(loss, parameters),
                "ascent_sharpness": ascent_sharpness(loss, parameters),
            }
        )
    return rows


@contextmanager
def moved(parameters: Sequence[nn.Parameter], direction: Direction, step: float) -> Iterator[None]:
    """A context in which the parameters are moved by `step` times a direction; afterwards they are as before."""
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter, part in zip(parameters, direction, strict=True):
                parameter.add_(part, alpha=step)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


def _hessian_product(loss: Loss, parameters: Sequence[nn.Parameter]) -> Callable[[Direction], list[Tensor]]:
    """v -> Hv; the gradient is computed once."""
    gradient = torch.autograd.grad(loss(), list(parameters), create_graph=True)

    def product(vector: Direction) -> list[Tensor]:
        found = torch.autograd.grad(gradient, list(parameters), list(vector), retain_graph=True, allow_unused=True)
        pairs = zip(found, parameters, strict=True)
        return [torch.zeros_like(parameter) if part is None else part for part, parameter in pairs]

    return product


def _inner(first: Direction, second: Direction) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum()


def _drawn(parameters: Sequence[nn.Parameter], generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p) for p in parameters]
