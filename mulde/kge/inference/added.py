"""Predictions of a model and another source of scores, added (`mulde.kge.evaluation.added_source`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from mulde.kge.evaluation.added_source import Added
from mulde.kge.evaluation.link_prediction import Ranker
from mulde.kge.inference.top_k import TorchPredictor
from mulde.kge.model.kge_model import KGEModel


class AddedPredictor(TorchPredictor):
    """Best heads and tails by log softmax of the model plus a weight times that of the source.

    Relations and complete triples are scored by the model alone.

    Parameters
    ----------
    model, source
        Both rank the entities of the same graph.
    weight
        Weight of the source.
    """

    def __init__(self, model: KGEModel, source: Ranker, weight: float):
        super().__init__(model)
        self.source, self.weight = source, weight

    def blocks(self, heads: Tensor, relations: Tensor, embeddings_only: bool) -> Iterator[tuple[Tensor, Tensor]]:
        return Added(self.model, self.source, self.weight, embeddings_only).blocks(heads, relations)

    def identity(self) -> dict[str, Any]:
        from mulde.engine.provenance import fingerprint

        return {**super().identity(), "added": fingerprint(self.source), "weight": self.weight}  # type: ignore[arg-type]
