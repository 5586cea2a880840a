"""Ranks of true answers among all candidates, and their metrics.

Three ranks differ in the treatment of ties. With `better` candidates above the target and `tied` others equal to it

    optimistic  = 1 + better        pessimistic = 1 + better + tied        realistic = their mean

(names as in PyKEEN). Metrics are of the realistic rank by default; by the optimistic one a constant model is perfect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mulde.errors import NonFiniteError

Policy = Literal["realistic", "optimistic", "pessimistic"]
HITS = (1, 3, 10)


class NonFiniteScores(NonFiniteError):
    """Scores that are NaN or infinite; comparisons with NaN are false, so they would count as perfect ranks."""


@dataclass(frozen=True)
class Ranks:
    """n rankings, (n,) int64 each: ``better`` and ``tied`` candidates, and ``candidates`` with the target."""

    better: NDArray[np.int64]
    tied: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.better)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Ranks:
        """The rankings of these rows."""
        return Ranks(self.better[rows], self.tied[rows], self.candidates[rows])

    def ranks(self, policy: Policy = "realistic") -> NDArray[np.float64]:
        """Ranks (n,), from 1."""
        fraction = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}[policy]
        return 1.0 + self.better + fraction * self.tied

    def metrics(self, policy: Policy = "realistic") -> dict[str, float]:
        """MRR, Hits@1/3/10, mean rank, adjusted mean rank: divided by that of random scores (1 chance, 0 perfect)."""
        ranks = self.ranks(policy)
        hits = {f"hits@{k}": float((ranks <= k).mean()) for k in HITS}
        expected = float(((self.candidates + 1) / 2).mean())
        mean = float(ranks.mean())
        return {"mrr": float((1 / ranks).mean()), **hits, "mr": mean, "amr": mean / expected}


def mean_interval(
    values: NDArray[np.float64], confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of values (n,), resampled with replacement, in whatever order."""
    from scipy.stats import bootstrap  # slow to import

    if len(values) < 2:  # nothing to resample
        return float(values.mean()), float(values.mean())
    drawn = bootstrap(
        (np.sort(values),), np.mean, n_resamples=resamples, batch=50, confidence_level=confidence, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def refuse_non_finite(scores: Tensor) -> None:
    """Raise NonFiniteScores with the first score (b, e) that is NaN or infinite."""
    if not torch.isfinite(scores.sum()) and not torch.isfinite(scores).all():
        row, entity = (~torch.isfinite(scores)).nonzero()[0].tolist()
        value = scores[row, entity].item()
        raise NonFiniteScores(
            f"score of entity {entity} for query {row} of the block is {value}; ranks need finite scores; "
            "the model diverged (lower the learning rate) or its file is damaged"
        )


def rank(scores: Tensor, targets: Tensor, known_rows: Tensor, known_tails: Tensor) -> Ranks:
    """Filtered ranks of one target per row.

    The target's score is read from ``scores``, because a score computed in another way may differ by rounding.

    Parameters
    ----------
    scores
        (b, e), higher is better.
    targets
        (b,) entity ids.
    known_rows, known_tails
        (f,) positions in ``scores`` of known answers, which are no candidates, each once; the target may be among them.

    Raises
    ------
    NonFiniteScores
        If any score is NaN or infinite.
    """
    refuse_non_finite(scores)
    target = scores.gather(1, targets.unsqueeze(1))
    better, tied = _counts(scores, target)
    others = known_tails != targets[known_rows]
    rows, tails = known_rows[others], known_tails[others]
    known, own = scores[rows, tails], target[rows, 0]
    better -= rows[known > own].bincount(minlength=len(scores))
    tied -= 1 + rows[known == own].bincount(minlength=len(scores))
    candidates = scores.shape[1] - rows.bincount(minlength=len(scores))
    return Ranks(better.cpu().numpy(), tied.cpu().numpy(), candidates.cpu().numpy())


def concatenate(parts: list[Ranks]) -> Ranks:
    """The rankings of all parts, in order."""
    return Ranks(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("better", "tied", "candidates"))
    )


def _counts(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Number of scores (b, e) of each row that exceed its target (b, 1), and that equal it, including itself."""
    if scores.device.type != "cpu":
        return (scores > target).sum(1), (scores == target).sum(1)
    rows, own = scores.numpy(), target.numpy()  # several times faster there than in torch
    outcome = np.empty(rows.shape, dtype=bool)
    counts = np.empty((2, len(rows)), dtype=np.int64)
    for compare, count in zip((np.greater, np.equal), counts, strict=True):
        count[:] = [np.count_nonzero(row) for row in compare(rows, own, out=outcome)]
    better, tied = torch.from_numpy(counts)
    return better, tied
