"""Models of fewer dimensions inside a model: the first coordinates of its tables.

    entities, vectors, angles    the first d' of d numbers of each row
    matrices                     the upper left (d', d'), times √(d'/d), because scorers divide them by √d
    biases, curvatures           the same

Rotations and reflections act on pairs of neighbouring coordinates, so d' is even for scorers with pairs. Every model
can be cut this way; the result is of use where the model was trained at that size too (option ``dims``).

Source: Kusupati et al. 2022, "Matryoshka Representation Learning"; for knowledge graphs Zhu et al. 2024, "Croppable
Knowledge Graph Embedding" (arXiv 2407.02779).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Kind


def cropped(model: KGEModel, dim: int) -> KGEModel:
    """A model of its own with the first ``dim`` coordinates of a model, in eval mode; self-loop mask and prior too.

    Raises
    ------
    UsageError
        If the model was not trained at this size.
    """
    if dim == model.config.dim:
        return model
    refuse_other_dim({"dim": model.config.dim, "dims": model.config.dims}, dim)
    config = replace(model.config, dim=dim, dims=())
    small = KGEModel(model.scorer, model.num_entities, model.num_relations, config, seed=None).to(model.entity.device)
    with torch.no_grad():
        for name, table in _tables(model, dim).items():
            small.get_parameter(name).copy_(table)
    small.self_loops.copy_(model.self_loops)
    return small.set_graph_prior(model.graph_prior and model.graph_prior.of_size(model.config.dims.index(dim))).eval()


def refuse_other_dim(config: Mapping[str, Any], dim: int) -> None:
    """Raise UsageError if a model with these options was not trained at a size."""
    sizes = config.get("dims") or [config["dim"]]
    if dim not in sizes:
        raise UsageError(
            f"dim should be a size that the model was trained at: {' or '.join(map(str, sizes))}; got {dim}; `mulde "
            "train --dims` trains several sizes in one model"
        )


class Crop(KGEModel):
    """The first coordinates of a model during its training: it has no parameters, and its gradients go to the model.

    Parameters
    ----------
    whole
        The model, or a larger crop of it. Gradients are passed on from crop to crop, so a chain of crops costs less
        than crops of one model.
    dim
        Number of coordinates.
    """

    def __init__(self, whole: KGEModel, dim: int):
        nn.Module.__init__(self)
        self._whole = (whole,)  # a tuple, so that the parameters of the model are not registered here as well
        self.scorer, self.config = whole.scorer, replace(whole.config, dim=dim, dims=())
        self.space = whole.space
        self.num_entities, self.num_relations = whole.num_entities, whole.num_relations
        self.sparse_gradients = False
        self.graph_prior = None
        self._last: tuple[Tensor, Tensor, int, Tensor] | None = None
        self.renew()

    @property
    def whole(self) -> KGEModel:
        """The model that is cropped."""
        return self._whole[0]

    def renew(self) -> None:
        """Cut the tables again, after the parameters of the model have changed."""
        tables: dict[str, Tensor] = _tables(self.whole, self.config.dim)
        self.__dict__["relation"] = {name: tables.pop(f"relation.{name}") for name in self.scorer.relation}
        self.__dict__ |= tables
        self.__dict__["self_loops"] = self.whole.self_loops
        self._last = None

    def top(self, heads: Tensor, relations: Tensor, k: int) -> Tensor:
        """Ids (b, k) of the k best tails of the whole model: the candidates of all sizes are the same.

        So a teacher scores the candidates of a batch once for all sizes.
        """
        if self._last is None or self._last[0] is not heads or self._last[1] is not relations or self._last[2] != k:
            self._last = heads, relations, k, self.whole.top(heads, relations, k)
        return self._last[3].clone()


def _tables(model: KGEModel, dim: int) -> dict[str, Tensor]:
    """The tables of a crop, differentiable, by their names in the model; angles are ratios and need no scale."""
    tables = {
        name: getattr(model, name) for name in ("head_bias", "tail_bias", "raw_curvature") if hasattr(model, name)
    }
    tables["entity"] = model.entity[:, :dim]
    for name, kind in model.scorer.relation.items():
        tables[f"relation.{name}"] = _cut(model.relation[name], kind, dim)
    return tables


def _cut(table: Tensor, kind: Kind, dim: int) -> Tensor:
    """The first coordinates of a table of relation parameters."""
    if kind != "matrix":
        return table[:, :dim]
    return table[:, :dim, :dim] * (dim / table.shape[-1]) ** 0.5
