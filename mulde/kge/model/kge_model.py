"""KGEModel: a scorer with its tables, the network that is trained, evaluated and saved.

Relation ids are internal (``kge_data.inverse``): the head query (?, r, t) is the tail query (t, reciprocal of r, ?).
All parameters are tangent vectors at the origin and take any optimiser, unless ``parametrization="manifold"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kge_data.inverse import forward_id, num_internal, reciprocal_id
from mulde.errors import UsageError
from mulde.kge.model import scoring
from mulde.kge.model.compilation import compiled
from mulde.kge.model.config import CURVATURE_FLOOR, ModelConfig
from mulde.kge.model.graph_prior import GraphPrior, PriorOfQueries
from mulde.kge.model.ranking import Counted, count_better
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.scoring import Pairs, Queries, Tails


class KGEModel(nn.Module):
    """A scorer with one table per entity and relation parameter.

    Tables: ``entity`` (e, d), ``head_bias`` and ``tail_bias`` (e,), ``relation.<name>`` (2r, d), or (2r, d, d), for
    each name the scorer declares, ``raw_curvature`` (1,) or (2r,), ``crop_terms`` (k, 2) for the k smaller sizes of a
    model with several ``dims`` (``nested.py``). Not learned: ``self_loops`` (2r,) bool, whether
    (x, r, x) can hold, see :meth:`mask_self_loops`.

    Parameters
    ----------
    scorer
        The scoring function, a class.
    num_entities, num_relations
        Sizes of the graph; the relations without their reciprocals.
    config
        Options.
    seed
        Seed of the initial tables; None: they are left without values, for a caller that fills them.

    Raises
    ------
    UsageError
        If the dimension is odd for a scorer that pairs coordinates, or for manifold parameters without a fixed
        curvature.
    """

    def __init__(
        self, scorer: type[Scorer], num_entities: int, num_relations: int, config: ModelConfig, seed: int | None = 0
    ):
        super().__init__()
        _refuse_misfit(scorer, config)
        self.scorer, self.config = scorer, config
        self.space = scorer.space_of(config)
        self.num_entities, self.num_relations = num_entities, num_relations
        self.sparse_gradients = False
        dtype = torch.float64 if config.dtype == "float64" else torch.float32
        generator = torch.Generator().manual_seed(seed or 0)

        def normal(*shape: int) -> Tensor:
            if seed is None:
                return torch.empty(*shape, dtype=dtype)
            return config.init_scale * torch.randn(*shape, generator=generator, dtype=dtype)

        def angles(*shape: int) -> Tensor:
            if seed is None:
                return torch.empty(*shape, dtype=dtype)
            uniform = 2 * torch.rand(*shape, generator=generator, dtype=dtype) - 1
            return uniform if config.rotation_init == "uniform" else normal(*shape)

        dim, rows = config.dim, num_internal(num_relations)
        self.entity = nn.Parameter(normal(num_entities, dim))
        initial = {"vector": (normal, (dim,)), "angles": (angles, (dim,)), "matrix": (normal, (dim, dim))}
        self.relation = nn.ParameterDict()
        for name, kind in scorer.relation.items():
            draw, shape = initial[kind]
            self.relation[name] = nn.Parameter(draw(rows, *shape))
        if config.bias != "none":
            self.head_bias = nn.Parameter(torch.zeros(num_entities, dtype=dtype))
            self.tail_bias = self.head_bias
        if config.bias == "separate":
            self.tail_bias = nn.Parameter(torch.zeros(num_entities, dtype=dtype))
        if scorer.hyperbolic():
            raw = torch.full(
                (rows if config.curvature == "per-relation" else 1,),
                config.initial_curvature - CURVATURE_FLOOR,
                dtype=dtype,
            )
            if seed is not None:  # on the device "meta", the arithmetic would import torch's compiler
                raw = raw + torch.log(-torch.expm1(-raw))  # inverse of softplus
            self.raw_curvature = nn.Parameter(raw, requires_grad=config.curvature != "fixed")
        if config.dims:
            self.crop_terms = nn.Parameter(torch.zeros(len(config.dims) - 1, 2, dtype=dtype))
        if config.parametrization == "manifold":
            self.entity = _on_ball(self.entity.detach(), config.initial_curvature, seed is None)
        self.self_loops: Tensor
        self.register_buffer("self_loops", torch.ones(rows, dtype=torch.bool))
        self.graph_prior: GraphPrior | None
        self.register_module("graph_prior", None)

    def extra_repr(self) -> str:
        """Scorer and sizes, for ``repr``."""
        sizes = f"{self.num_entities} entities, {self.num_relations} relations, dim {self.config.dim}"
        return f"{self.scorer.__name__}, {sizes}"

    def mask_self_loops(self, triples: NDArray[np.int64]) -> KGEModel:
        """Mask the query entity for relations without a self-loop in the training triples (n, 3); returns the model.

        No relation of WN18RR but one has self-loops, and none of UMLS, yet a model's best answer is often the query
        entity, because a translation moves it too little. The mask holds in `blocks`, `answers` and `count_better`.
        Without effect under the option ``mask_self_loops=False``.
        """
        if self.config.mask_self_loops:
            self_loops = torch.from_numpy(np.unique(triples[triples[:, 0] == triples[:, 2], 1]))
            self.self_loops.fill_(False)
            self.self_loops[torch.cat([forward_id(self_loops), reciprocal_id(self_loops)])] = True
        return self

    def unmask_self_loops(self) -> KGEModel:
        """Allow the query entity as an answer of every relation; returns the model."""
        self.self_loops.fill_(True)
        return self

    def set_graph_prior(self, prior: GraphPrior | None) -> KGEModel:
        """Add a graph prior to the scores of `answers` and `count_better`, or remove it; returns the model."""
        self.graph_prior = None if prior is None else prior.to(self.entity.device)
        return self

    def use_sparse_gradients(self, wanted: bool = True) -> KGEModel:
        """Give entity tables sparse gradients with the rows of a batch, or dense ones; returns the model."""
        self.sparse_gradients = wanted
        return self

    def curvature(self, relations: Tensor | None = None) -> Tensor | None:
        """Positive curvature of each relation (b,), or () where it is shared; None in flat space."""
        if not self.scorer.hyperbolic():
            return None
        if self.config.curvature == "fixed":
            return self.raw_curvature.new_tensor(self.config.initial_curvature)
        raw: Tensor = self.raw_curvature
        if self.config.curvature == "global":
            raw = raw.squeeze(0)
        elif relations is not None:
            raw = raw[relations]
        return functional.softplus(raw) + CURVATURE_FLOOR

    def query(self, heads: Tensor, relations: Tensor, *, sparse: bool = False) -> Queries:
        """Query points of (head, relation, ?) for ids (b,).

        Parameters
        ----------
        sparse
            The gradient of ``entity`` has the heads' rows only, for callers that add it to a dense one.
        """
        head = scoring.lookup(self.entity, heads, sparse or self.sparse_gradients)
        curvature = self.curvature(relations)
        parameters = {name: table[relations] for name, table in self.relation.items()}
        if curvature is not None:
            parameters["curvature"] = curvature
        head = self.space.tangents(head, curvature)
        bias = None if self.config.bias == "none" else scoring.lookup(self.head_bias, heads, self.sparse_gradients)
        return Queries(compiled(self.scorer.query, head)(head, **parameters), curvature, bias)

    def masked(self, heads: Tensor, relations: Tensor) -> Tensor:
        """The masked entity of each query (b,): its own head, or -1 where the relation has self-loops."""
        return torch.where(self.self_loops[relations], -1, heads)

    def tails(self) -> Tails:
        """All entities as tails."""
        bias = None if self.config.bias == "none" else self.tail_bias
        return Tails(self.entity, bias, self.space, self.sparse_gradients)

    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores of the tails ``ids``, by embeddings only: (b,) of one tail each, or (b, c) of candidates.

        Differentiable. Teachers are queried and triples classified by these scores.
        """
        if ids.dim() == 1:
            return self.score(heads, relations, ids.unsqueeze(-1)).squeeze(-1)
        return scoring.candidates(self.query(heads, relations, sparse=True), self.tails(), ids)

    def score_every(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity by embeddings only, differentiable: for small graphs."""
        return scoring.every(self.query(heads, relations), self.tails())

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity by embeddings only, without gradient."""
        scores = self.entity.new_empty(len(heads), self.num_entities)
        for rows, block in self.blocks(heads, relations, embeddings_only=True):
            scores[rows] = block
        return scores

    def blocks(
        self, heads: Tensor, relations: Tensor, embeddings_only: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) in a reused buffer, without gradient; rows in any order.

        Parameters
        ----------
        embeddings_only
            Without the mask of self-loops.
        """
        device = self.entity.device
        return scoring.blocks(self._queries(heads.to(device), relations.to(device), embeddings_only), self.tails())

    def answers(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The same blocks with mask and graph prior: the scores that rank answers."""
        blocks = self.blocks(heads, relations)
        return blocks if self.graph_prior is None else self.graph_prior.added(heads, relations, blocks)

    def count_better(
        self,
        heads: Tensor,
        relations: Tensor,
        targets: Tensor,
        left_out: Callable[[Tensor], Pairs],
        embeddings_only: bool = False,
    ) -> Iterator[Counted]:
        """Count the candidates that score more than the target (b,) of each query (b,); on the CPU only.

        Parameters
        ----------
        left_out
            Numbers (n,) of queries -> (positions among them, entities), each pair once, of entities that are no
            candidates, the same for equal queries; called by several threads.
        embeddings_only
            Without the mask of self-loops and the graph prior.
        """
        key = heads * len(self.self_loops) + relations
        _, first, query = np.unique(key.numpy(), return_index=True, return_inverse=True)
        some = torch.from_numpy(first)  # equal queries with different targets are scored once
        heads, relations = heads[some], relations[some]
        prior = None if embeddings_only or self.graph_prior is None else self.graph_prior
        return count_better(
            self._queries(heads, relations, embeddings_only),
            self.tails(),
            torch.from_numpy(query),
            targets,
            lambda rows: left_out(some[rows]),
            None if prior is None else PriorOfQueries(prior, heads, relations),
        )

    def top(self, heads: Tensor, relations: Tensor, k: int) -> Tensor:
        """Ids (b, k) of the k best tails of each query by embeddings only, unordered, without gradient."""
        with torch.no_grad():
            return scoring.top(self.query(heads, relations), self.tails(), k)

    @torch.no_grad()
    def _queries(self, heads: Tensor, relations: Tensor, embeddings_only: bool) -> Queries:
        queries = self.query(heads, relations)
        return queries if embeddings_only else replace(queries, masked=self.masked(heads, relations))


def _refuse_misfit(scorer: type[Scorer], config: ModelConfig) -> None:
    for dim in (config.dim, *config.dims):
        if scorer.pairs_coordinates() and dim % 2:
            raise UsageError(
                f"{scorer.__name__} pairs coordinates, so `dim` must be even; got {dim}; use {dim - 1} or {dim + 1}"
            )
    if config.parametrization == "manifold" and not (scorer.hyperbolic() and config.curvature == "fixed"):
        raise UsageError(
            "parametrization 'manifold' needs a hyperbolic scorer and curvature 'fixed', because its points belong to "
            f"one ball; got {scorer.__name__} with curvature '{config.curvature}'; use parametrization 'tangent', or "
            "fix the curvature"
        )


def _on_ball(vectors: Tensor, curvature: float, are_points: bool) -> nn.Parameter:
    """A parameter on the ball: points, or tangent vectors at the origin that are mapped to points."""
    import geoopt  # only this storage needs it

    # a float would be held in float32, half of float64's digits
    ball = geoopt.PoincareBall(c=torch.tensor(curvature, dtype=vectors.dtype))
    return geoopt.ManifoldParameter(vectors if are_points else ball.expmap0(vectors), manifold=ball)
