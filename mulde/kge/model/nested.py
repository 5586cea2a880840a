"""Models of fewer dimensions inside a model: the first coordinates of its tables.

    entities, vectors    the first d' of d numbers of each row, times a scale
    angles               the first d' of d numbers of each row
    matrices             the upper left (d', d'), times √(d'/d), because scorers divide them by √d
    biases               the same, plus half an offset
    curvatures           the same

Scale and offset are two numbers of each smaller size, which are learned (``KGEModel.crop_terms``): fewer coordinates
give shorter distances, so without them the tables of one size would be too small for another. Rotations and reflections
act on pairs of neighbouring coordinates, so all sizes are even for such scorers.

A crop is made of the next larger size, so its scale and offset are relative to that one.

Sources: Kusupati et al. 2022, "Matryoshka Representation Learning"; for knowledge graphs Zhu et al. 2024, "Croppable
Knowledge Graph Embedding" (arXiv 2407.02779). Scale and offset are ours.
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

SPEED = 10.0  # of scale and offset, which all rows share; optimizers change every number by about the same amount


class Crop(KGEModel):
    """The next smaller size of a model during training: it has no parameters, and its gradients go to the model.

    Parameters
    ----------
    whole
        A model with several ``dims``, or a crop of it.
    """

    def __init__(self, whole: KGEModel):
        nn.Module.__init__(self)
        self._whole = (whole,)  # a tuple, so that the parameters of the model are not registered here as well
        self.scorer, self.config = (
            whole.scorer,
            replace(whole.config, dim=whole.config.dims[-2], dims=whole.config.dims[:-1]),
        )
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


def crops_of(model: KGEModel) -> list[Crop]:
    """Crops of all smaller sizes of a model, the largest first."""
    found: list[Crop] = []
    for _ in model.config.dims[:-1]:
        found.append(Crop(found[-1] if found else model))
    return found


@torch.no_grad()
def cropped(model: KGEModel, dim: int) -> KGEModel:
    """A model of its own of one of a model's sizes, with the smaller ones in it, in eval mode.

    Self-loop mask and graph prior are those of the size.

    Raises
    ------
    UsageError
        If the model was not trained at this size.
    """
    refuse_other_dim({"dim": model.config.dim, "dims": model.config.dims}, dim)
    if dim == model.config.dim:
        return model
    crop = next(crop for crop in crops_of(model) if crop.config.dim == dim)
    small = KGEModel(model.scorer, model.num_entities, model.num_relations, crop.config, seed=None)
    small.to(model.entity.device)
    for name, table in small.named_parameters():
        owner, _, own = name.rpartition(".")
        table.copy_(getattr(crop, owner)[own] if owner else getattr(crop, own))
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


def _tables(model: KGEModel, dim: int) -> dict[str, Tensor]:
    """The tables of the next smaller size, differentiable, by their names."""
    log_scale, offset = (SPEED * model.crop_terms[-1]).unbind()
    scale = log_scale.exp()
    tables = {"entity": scale * model.entity[:, :dim], "crop_terms": model.crop_terms[:-1]}
    if model.config.bias != "none":
        tables |= {name: getattr(model, name) + offset / 2 for name in ("head_bias", "tail_bias")}
    if model.scorer.hyperbolic():
        tables["raw_curvature"] = model.raw_curvature
    for name, kind in model.scorer.relation.items():
        tables[f"relation.{name}"] = _cut(model.relation[name], kind, dim, scale)
    return tables


def _cut(table: Tensor, kind: Kind, dim: int, scale: Tensor) -> Tensor:
    """The first coordinates of a table of relation parameters."""
    if kind == "matrix":
        return table[:, :dim, :dim] * (dim / table.shape[-1]) ** 0.5
    return scale * table[:, :dim] if kind == "vector" else table[:, :dim]
