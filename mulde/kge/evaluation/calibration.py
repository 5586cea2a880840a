"""From a triple's scores to the probability that it is true.

    p = σ(w₁·s₁ + w₂·s₂ + b + b_r + a_r·(s₁ + s₂))   s₁, s₂: the triple's two readings (`mulde.kge.inference.top_k`)

Platt scaling (Platt 1999) on both readings, with an offset and a slope for each relation that are drawn towards zero
by a normal prior, so that a relation with few examples keeps the common ones. Deciding at one half is then a threshold
for each relation. The probability means: among triples like those it was fitted on, with their share of false ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge.model.directions import Ids
from mulde.kge.storage import bundle

FILE, FORMAT = "calibration.json", "mulde calibration 1"
PRIOR = 1.0  # variance of a relation's offset and slope, in units of the standardised readings


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration."""

    weights: tuple[float, ...]
    """w₁ and w₂."""
    bias: float
    """b"""
    offsets: tuple[float, ...]
    """b_r of each relation, by user id."""
    slopes: tuple[float, ...]
    """a_r of each relation."""
    model: str
    """SHA-256 of the model's weights, as in its description; another model's scores mean other things."""
    negatives: str
    """Where the false triples came from that it was fitted on."""

    def probabilities(self, relations: Ids, readings: NDArray[Any]) -> NDArray[np.float64]:
        """Of triples (b,) with user relation ids and readings (b, 2)."""
        both = readings.astype(np.float64)
        logits = both @ self.weights + self.bias + np.asarray(self.offsets)[relations]
        return _sigmoid(logits + np.asarray(self.slopes)[relations] * both.sum(1))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def fit_calibration(
    readings: NDArray[Any], relations: Ids, labels: NDArray[np.bool_], num_relations: int, model: str, negatives: str
) -> Calibration:
    """The most probable calibration given readings (n, 2), user relation ids (n,) and whether each triple is true."""
    from scipy.optimize import minimize  # takes a while to import

    both = readings.astype(np.float64)
    middle = both.mean(0)
    spread = float((both - middle).std()) + 1e-12
    scaled = (both - middle) / spread
    total = scaled.sum(1)
    sign = np.where(labels, 1.0, -1.0)

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias, unit = parameters[:2], parameters[2], parameters[3:].reshape(2, num_relations)
        of_relation = PRIOR**0.5 * unit
        logits = scaled @ weights + bias + of_relation[0][relations] + of_relation[1][relations] * total
        loss = np.logaddexp(0, -sign * logits).sum() + (unit**2).sum() / 2
        slope = -sign * _sigmoid(-sign * logits)
        by_relation = [np.bincount(relations, slope * factor, num_relations) for factor in (np.ones_like(total), total)]
        gradient = [scaled.T @ slope, [slope.sum()], (PRIOR**0.5 * np.stack(by_relation) + unit).ravel()]
        return float(loss), np.concatenate(gradient)

    found = minimize(
        objective,
        np.zeros(3 + 2 * num_relations),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "ftol": 1e-13},
    )
    weights, bias, (offsets, slopes) = found.x[:2], found.x[2], PRIOR**0.5 * found.x[3:].reshape(2, num_relations)
    weights, slopes = weights / spread, slopes / spread  # back to the readings as they are
    return Calibration(
        weights=tuple(weights.tolist()),
        bias=float(bias - middle @ weights),
        offsets=tuple((offsets - slopes * middle.sum()).tolist()),
        slopes=tuple(slopes.tolist()),
        model=model,
        negatives=negatives,
    )


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write ``calibration.json`` beside a model."""
    write_atomically(folder / FILE, json.dumps({"format": FORMAT, **calibration.as_dict()}, indent=2).encode())


def calibration_file(model: Path | str) -> bytes | None:
    """The calibration in a run folder or a bundle as it is written there; None where there is none."""
    place = bundle.locate(model)
    if bundle.is_bundle(place):
        return bundle.read(place).files.get(FILE)
    return (place / FILE).read_bytes() if (place / FILE).is_file() else None


def open_calibration(folder: Path, model: str, num_relations: int) -> Calibration | None:
    """The calibration beside a model whose weights have this SHA-256, or in its bundle; None where there is none.

    Raises UsageError where it is damaged, or was fitted on other weights.
    """
    path, written = folder / FILE, calibration_file(folder)
    if written is None:
        return None
    again = "remove it, and `mulde evaluate MODEL --task classification` fits it anew"
    try:
        content = json.loads(written)
        if content.pop("format") != FORMAT:
            raise ValueError(f"its format is not '{FORMAT}'")
        content |= {name: tuple(map(float, content[name])) for name in ("weights", "offsets", "slopes")}
        found = Calibration(**content)
        if len(found.offsets) != num_relations or len(found.slopes) != num_relations or len(found.weights) != 2:
            raise ValueError(f"it is not for {num_relations} relations")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path}: expected a calibration ({error}); the file is damaged; {again}") from error
    if found.model != model:
        raise UsageError(f"{path}: was fitted on other weights than those beside it; {again}")
    return found


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -values))
