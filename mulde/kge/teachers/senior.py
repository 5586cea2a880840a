"""The Senior: combines the scores of the teachers into one soft label, by relation and by query.

    z'_i = σ(w_{r,i}) z_i                                    relation-specific scaling, learned
    a    = softmax_i( -KL(softmax z_J ‖ softmax z'_i) / τ )  contrast attention: closeness to the Junior
    z_S  = Σ_i a_i z'_i

Source: MulDE (arXiv 2010.07152); exact forms, the direction of the KL and the constants from its review-time code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from mulde import schema
from mulde.engine.checkpoint import read_tensors
from mulde.engine.provenance import tensors_checksum
from mulde.errors import UsageError
from mulde.files import as_json, write_atomically
from mulde.kge.teachers.ensemble import Ensemble
from mulde.schema import contents

SENIOR, SENIOR_FORMAT = "senior.safetensors", "mulde senior 1"
SMOOTHING = 1e-7  # added to the Junior's probabilities before their logarithm, as in the review-time code


class Senior(nn.Module):
    """Gates (2r, m), all σ(1) = 0.731 at first, and the attention, which has no parameters.

    Parameters
    ----------
    num_relations
        Relations of the graph; each has two rows, one for itself and one for its reciprocal.
    scaling, attention
        Whether each mechanism is used. Without scaling, gates are 1; without attention, weights are 1/m.
    attention_gradient
        Whether gradients of the attention reach the Junior's scores, as in the review-time code, where this looks
        accidental.
    attention_reverse
        Whether the attention uses the other direction of the KL.
    """

    def __init__(
        self,
        num_relations: int,
        teachers: int,
        *,
        scaling: bool = True,
        attention: bool = True,
        attention_gradient: bool = False,
        attention_reverse: bool = False,
    ):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(2 * num_relations, teachers))
        self.scaling, self.attention = scaling, attention
        self.attention_gradient, self.attention_reverse = attention_gradient, attention_reverse

    def gates(self, relations: Tensor) -> Tensor:
        """σ(w) of the queries' relations (b,) -> (b, m); ones without scaling."""
        weights = self.weights[relations]
        return weights.sigmoid() if self.scaling else torch.ones_like(weights)

    def scaled(self, scores: Tensor, relations: Tensor) -> Tensor:
        """Scores (m, b, c) multiplied by their gates: z'_i."""
        return self.gates(relations).T.unsqueeze(-1) * scores

    def forward(self, scores: Tensor, own: Tensor, relations: Tensor, tau: float = 1.0) -> Tensor:
        """Blend the teachers' scores.

        Parameters
        ----------
        scores
            (m, b, c) scores of the ensemble for the candidates.
        own
            (b, c) the Junior's scores on the same candidates.
        relations
            (b,) internal relation ids.
        tau
            Temperature τ of the attention; a large one makes the weights equal.

        Returns
        -------
        Tensor
            (b, c) the Senior's scores z_S.
        """
        scaled = self.scaled(scores.to(own.dtype), relations)
        if not self.attention:
            return scaled.mean(0)
        query = own if self.attention_gradient else own.detach()
        return (self.attend(scaled.detach(), query, tau).T.unsqueeze(-1) * scaled).sum(0)

    def attend(self, scaled: Tensor, own: Tensor, tau: float) -> Tensor:
        """Attention weights (b, m) of the teachers, see `contrast_attention`."""
        return contrast_attention(scaled, own, tau, self.attention_reverse)


class SeniorRanker(nn.Module):
    """Ranks all entities by the gated sum of the teachers, without attention, as the review-time code tests it.

    Parameters
    ----------
    senior
        The gates.
    ensemble
        The teachers, in the order of the gates' columns.
    """

    def __init__(self, senior: Senior, ensemble: Ensemble):
        super().__init__()
        self.senior, self.ensemble = senior, ensemble

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) for queries (b,)."""
        return self.ensemble.blocks(heads, relations, self.senior.gates(relations).detach())

    def save(self, folder: Path) -> None:
        """Write the gates and the names of the teachers to a run folder."""
        save_senior(folder, self.senior, self.ensemble.names)


def contrast_attention(scaled: Tensor, own: Tensor, tau: float, reverse: bool = False) -> Tensor:
    """Weights (b, m) of teachers by their closeness to the Junior: softmax over -KL(softmax own ‖ softmax scaled_i)/τ.

    ``scaled`` (m, b, c) and ``own`` (b, c) are scores of the same candidates, without temperature. ``reverse`` takes
    KL(softmax scaled_i ‖ softmax own).
    """
    junior, teachers = own.softmax(-1) + SMOOTHING, scaled.log_softmax(-1)
    log_ratio = junior.log() - teachers
    divergence = (teachers.exp() * -log_ratio if reverse else junior * log_ratio).sum(-1)
    return (-divergence / tau).softmax(0).T


def save_senior(folder: Path, senior: Senior, teachers: Sequence[str]) -> None:
    """Write the Senior's gates beside its Junior, with the teachers' names in the order of the columns."""
    gates = senior.gates(torch.arange(len(senior.weights), device=senior.weights.device)).detach().cpu().contiguous()
    about = {"format": SENIOR_FORMAT, "teachers": list(teachers), "gates": tensors_checksum({"gates": gates})}
    # one entry, because safetensors writes several in an order that changes
    write_atomically(folder / SENIOR, save({"gates": gates}, {"senior": as_json(about).decode()}))


def open_senior(folder: Path | str) -> tuple[tuple[str, ...], Tensor] | None:
    """The teachers' names and the gates (2r, m) of the Senior of this Junior; None if there is none.

    Raises
    ------
    UsageError
        If the file is damaged.
    """
    path = Path(folder) / SENIOR
    if not path.exists():
        return None
    try:
        tensors, metadata = read_tensors(path)
        gates, written = tensors["gates"], metadata["senior"]
        about = schema.parse(written.encode(), str(path), contents.GATES, "remove the file to do without")
        teachers = tuple(about["teachers"])
        if about.get("gates") not in (None, tensors_checksum({"gates": gates})):
            raise ValueError("they do not match their checksum")
    except UsageError:
        raise
    except (SafetensorError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path}: expected the gates of a Senior, but {error}; the file is damaged; remove it to do without"
        ) from error
    if gates.dim() != 2 or gates.shape[1] != len(teachers):
        raise UsageError(
            f"{path}: expected one column for each of {len(teachers)} teachers, found shape {tuple(gates.shape)}"
        )
    return teachers, gates
