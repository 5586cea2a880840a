"""Probabilities of triples, calibrated from a model's scores.

    p = σ(w₁·s₁ + w₂·s₂ + b + b_r + a_r·(s₁ + s₂))   s₁, s₂: scores of the triple in both directions

Platt scaling (Platt 1999) with two scores, and an offset b_r and a slope a_r for each relation. A normal prior with
mean zero on offsets and slopes keeps relations with few examples close to the common parameters. A decision at p = 1/2
is a threshold for each relation. The probabilities assume the base rate of the calibration set, or one that is given.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.keys import Ids
from mulde import schema
from mulde.errors import UsageError
from mulde.files import as_json, write_atomically
from mulde.kge.storage import bundle
from mulde.report.tables import data_frame, html_table
from mulde.schema import contents

FILE, FORMAT = "calibration.json", "mulde calibration 1"
PRIOR = 1.0  # variance of a relation's offset and slope, in units of the standardised scores


@dataclass(frozen=True, repr=False)
class Calibration:
    """A fitted calibration."""

    weights: tuple[float, ...]
    """w₁ and w₂."""
    bias: float
    """b"""
    offsets: tuple[float, ...]
    """b_r of each relation, by its id in the graph."""
    slopes: tuple[float, ...]
    """a_r of each relation."""
    model: str
    """SHA-256 of the model's weights, as in its description. Scores of another model need another calibration."""
    negatives: str
    """Source of the false triples that it was fitted on."""
    odds: float = 1.0
    """True triples divided by false ones, among those that it was fitted on."""

    def probabilities(
        self, relations: Ids, scores: NDArray[Any], odds: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Probabilities (b,) of triples.

        Parameters
        ----------
        relations
            (b,) relation ids of the graph.
        scores
            (b, 2) scores in both directions.
        odds
            (b,) odds of a triple before its score is known; None: those of the fit. They replace those of the fit, see
            `mulde.kge.inference.base_rate`.
        """
        both = scores.astype(np.float64)
        logits = both @ self.weights + self.bias + np.asarray(self.offsets)[relations]
        logits += np.asarray(self.slopes)[relations] * both.sum(1)
        return _sigmoid(logits if odds is None else logits + np.log(odds / self.odds))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def to_pandas(self) -> Any:
        """Offset and slope of each relation as a pandas DataFrame."""
        return data_frame(self._rows())

    def __repr__(self) -> str:
        weights = ", ".join(f"{weight:.4g}" for weight in self.weights)
        return (
            f"Calibration(weights=({weights}), bias={self.bias:.4g}, {len(self.offsets)} relations, "
            f"negatives={self.negatives!r})"
        )

    def _repr_html_(self) -> str:
        return html_table(self._rows(), repr(self))

    def _rows(self) -> list[dict[str, Any]]:
        pairs = zip(self.offsets, self.slopes, strict=True)
        return [{"relation": r, "offset": offset, "slope": slope} for r, (offset, slope) in enumerate(pairs)]


def fit_calibration(
    scores: NDArray[Any], relations: Ids, labels: NDArray[np.bool_], num_relations: int, model: str, negatives: str
) -> Calibration:
    """Maximum a posteriori calibration.

    Parameters
    ----------
    scores
        (n, 2) scores of each triple in both directions.
    relations
        (n,) relation ids of the graph.
    labels
        (n,) whether each triple is true.
    num_relations
        Number of relations in the graph.
    model, negatives
        Kept with the result, see `Calibration`.
    """
    from scipy.optimize import minimize  # slow to import

    both = scores.astype(np.float64)
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
    weights, slopes = weights / spread, slopes / spread  # for scores that are not standardised
    return Calibration(
        weights=tuple(weights.tolist()),
        bias=float(bias - middle @ weights),
        offsets=tuple((offsets - slopes * middle.sum()).tolist()),
        slopes=tuple(slopes.tolist()),
        model=model,
        negatives=negatives,
        odds=max(int(labels.sum()), 1) / max(int((~labels).sum()), 1),
    )


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write ``calibration.json`` beside a model."""
    write_atomically(folder / FILE, as_file(calibration))


def as_file(calibration: Calibration) -> bytes:
    """Content of ``calibration.json``."""
    return as_json({"format": FORMAT, **calibration.as_dict()})


def open_calibration(folder: Path, model: str, num_relations: int) -> Calibration | None:
    """The calibration of a model in a run folder or a bundle; None if there is none.

    Parameters
    ----------
    folder
        Run folder or bundle.
    model
        SHA-256 of the model's weights, as in its description.
    num_relations
        Number of relations in the graph.

    Raises
    ------
    UsageError
        If the file is damaged or was fitted on other weights.
    """
    path, written = bundle.locate(folder) / FILE, bundle.file_of(folder, FILE)
    if written is None:
        return None
    again = "remove it, and `mulde evaluate MODEL --task classification` fits it again"
    content = schema.parse(written, str(path), contents.CALIBRATION, again)
    if (form := content.pop("format")) != FORMAT:
        raise UsageError(f"{path}: expected format '{FORMAT}', found {schema.shown(form)}; {again}")
    weights, offsets, slopes = (tuple(map(float, content[name])) for name in ("weights", "offsets", "slopes"))
    odds = float(content.get("odds", 1.0))  # not in files of earlier versions, which had as many true as false triples
    found = Calibration(weights, float(content["bias"]), offsets, slopes, content["model"], content["negatives"], odds)
    if {len(found.offsets), len(found.slopes)} != {num_relations}:
        raise UsageError(
            f"{path}: expected a calibration of {num_relations} relations, found {len(found.offsets)} offsets and "
            f"{len(found.slopes)} slopes; {again}"
        )
    if found.model != model:
        raise UsageError(f"{path}: was fitted on other weights than those beside it; {again}")
    return found


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -values))
