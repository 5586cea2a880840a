"""Detection of a watermark: correlation of a model's scores with the pattern of a key, compared with other keys.

The key was drawn independently of every model that was not distilled from marked probabilities. For such a model it is
one among equals, and the probability that it ranks within the first m of n keys is m/n, whatever the model and the
images. The rate of false alarms therefore needs no assumption and no other models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def projections(scores: Array, signs: Array) -> Array:
    """Scores of every row on the signs of m keys, (n, m).

    Parameters
    ----------
    scores
        (n, k), NaN where a score does not count. Rows are centred and brought to length 1.
    signs
        (m, k) sign of every class under every key.
    """
    centred = np.nan_to_num(scores - np.nanmean(scores, 1, keepdims=True))
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.where(length > 0, length, 1)) @ signs.T


def correlations(projected: Array, carriers: Array, groups: NDArray[np.integer]) -> NDArray[np.float64]:
    """Correlation (m,) of projections with the carriers of the keys, both with the means of groups removed.

    Parameters
    ----------
    projected
        (n, m), see `projections`.
    carriers
        (n, m) function of the input under every key.
    groups
        (n,) group of every row, for example its predicted class.
    """
    left, right = (_without_means(values.astype(np.float64), groups) for values in (projected, carriers))
    scale = np.sqrt((left**2).sum(0) * (right**2).sum(0))
    return (left * right).sum(0) / np.where(scale > 0, scale, 1)


def detection(found: NDArray[np.float64]) -> dict[str, float]:
    """Correlation of the first key, and the probability that an unmarked model ranks a key so high among all of them.

    Parameters
    ----------
    found
        (m,) correlations of the owner's key and of m - 1 others.
    """
    return {"correlation": float(found[0]), "p_value": float((found >= found[0]).mean()), "keys": float(len(found))}


def _without_means(values: NDArray[np.float64], groups: NDArray[np.integer]) -> NDArray[np.float64]:
    _, numbers = np.unique(groups, return_inverse=True)
    sums = np.zeros((numbers.max() + 1, values.shape[1]))
    np.add.at(sums, numbers, values)
    means: NDArray[np.float64] = sums / np.bincount(numbers)[:, None]
    return values - means[numbers]
