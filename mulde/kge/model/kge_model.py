"""KGEModel: a scorer with its tables, the network that is trained, ranked, shipped and asked.

Relations are internal: 2r is the user's relation r, 2r+1 its reciprocal, so that (?, r, t) is asked as (t, 2r+1, ?).
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

from mulde.kge.model import scoring
from mulde.kge.model.compilation import fused
from mulde.kge.model.config import CURVATURE_FLOOR, ModelConfig
from mulde.kge.model.graph_prior import Facts, GraphPrior
from mulde.kge.model.ranking import Counted, competitors
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.scoring import Pairs, Queries, Tails


class KGEModel(nn.Module):
    """A scorer with one table per entity and relation parameter.

    Tables: ``entity`` (e, d), ``head_bias`` and ``tail_bias`` (e,), ``relation.<name>`` (2r, d), or (2r, d, d), for
    each name the scorer declares, ``raw_curvature`` (1,) or (2r,). ``self_loops`` (2r,) bool, not learned: whether (x, r, x)
    can hold, see :meth:`learn_self_loops`; it counts in eval mode only.

    Raises
    ------
    ValueError
        If the dimension is odd for a scorer that pairs coordinates, or manifold storage is asked for without a fixed
        curvature.
    """

    def __init__(self, scorer: type[Scorer], num_entities: int, num_relations: int, config: ModelConfig, seed: int = 0):
        super().__init__()
        dim = config.dim
        if scorer.pairs_coordinates() and dim % 2:
            raise ValueError(
                f"{scorer.__name__} pairs coordinates, so `dim` must be even; got {dim}; use {dim - 1} or {dim + 1}"
            )
        if config.parametrization == "manifold" and not (scorer.hyperbolic() and config.curvature == "fixed"):
            raise ValueError(
                "entities on the manifold belong to one ball: they need a hyperbolic scorer and curvature 'fixed'; "
                f"got {scorer.__name__} with curvature '{config.curvature}'; "
                "use entities 'tangent' or fix the curvature"
            )
        self.scorer, self.config = scorer, config
        self.num_entities, self.num_relations = num_entities, num_relations
        self.sparse = False  # whether gradients of entity tables hold touched rows only, see `scoring.lookup`
        dtype = torch.float64 if config.dtype == "float64" else torch.float32
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return config.init_scale * torch.randn(*shape, generator=generator, dtype=dtype)

        def angles(*shape: int) -> Tensor:
            uniform = 2 * torch.rand(*shape, generator=generator, dtype=dtype) - 1
            return uniform if config.rotation_init == "uniform" else normal(*shape)

        self.entity = nn.Parameter(normal(num_entities, dim))
        rows = 2 * num_relations
        starts = {"vector": (normal, (dim,)), "angles": (angles, (dim,)), "matrix": (normal, (dim, dim))}
        self.relation = nn.ParameterDict()
        for name, kind in scorer.relation.items():
            start, shape = starts[kind]
            self.relation[name] = nn.Parameter(start(rows, *shape))
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
            raw = raw + torch.log(-torch.expm1(-raw))  # inverse of softplus
            self.raw_curvature = nn.Parameter(raw, requires_grad=config.curvature != "fixed")
        if config.parametrization == "manifold":
            self.entity = _on_ball(self.entity.detach(), config.initial_curvature)
        self.self_loops: Tensor
        self.register_buffer("self_loops", torch.ones(rows, dtype=torch.bool))
        self.graph_prior: GraphPrior | None
        self.register_module("graph_prior", None)

    def learn_self_loops(self, triples: NDArray[np.int64]) -> KGEModel:
        """Note which relations hold between an entity and itself in the training triples (n, 3); returns the model.

        No relation of WN18RR but one does, and none of UMLS, yet a model's best answer is often the entity that was
        asked about: a translation moves it too little. Without effect under ``mask_self_loops=False``.
        """
        if self.config.mask_self_loops:
            loops = torch.from_numpy(np.unique(triples[triples[:, 0] == triples[:, 2], 1]))
            self.self_loops.fill_(False)
            self.self_loops[torch.cat([2 * loops, 2 * loops + 1])] = True
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

        ``sparse``: the gradient of ``entity`` holds the heads' rows only, for whoever adds it to one of all rows.
        """
        head = scoring.lookup(self.entity, heads, sparse or self.sparse)
        curvature = self.curvature(relations)
        parameters = {name: table[relations] for name, table in self.relation.items()}
        if curvature is not None:
            parameters["curvature"] = curvature
            if self.config.parametrization == "manifold":
                head = self.scorer.space.logmap0(head, curvature)
        bias = None if self.config.bias == "none" else scoring.lookup(self.head_bias, heads, self.sparse)
        return Queries(fused(self.scorer.query, head)(head, **parameters), curvature, bias)

    def masked(self, heads: Tensor, relations: Tensor) -> Tensor:
        """The entity that may not answer each query (b,), its own head, or -1 where the relation has loops."""
        return torch.where(self.self_loops[relations], -1, heads)

    def tails(self) -> Tails:
        """All entities as tails."""
        config = self.config
        bias = None if config.bias == "none" else self.tail_bias
        as_points = config.parametrization == "manifold"
        return Tails(self.entity, bias, self.scorer.space, as_points, config.artanh_limit, self.sparse)

    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores of the tails ``ids``: (b,) of one tail each, or (b, c) of candidates; differentiable.

        By vectors alone, as `score_all`: what teachers teach, and what triples are classified by.
        """
        if ids.dim() == 1:
            return self.score(heads, relations, ids.unsqueeze(-1)).squeeze(-1)
        return scoring.candidates(self.query(heads, relations, sparse=True), self.tails(), ids)

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity by vectors alone, without gradient."""
        scores = self.entity.new_empty(len(heads), self.num_entities)
        for rows, block in self.blocks(heads, relations, embeddings_only=True):
            scores[rows] = block
        return scores

    def blocks(
        self, heads: Tensor, relations: Tensor, embeddings_only: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) in a reused buffer, without gradient; rows in any order.

        Where a relation has no loops the query's own head is last; ``alone``: by vectors alone.
        """
        device = self.entity.device
        return scoring.blocks(self._asked(heads.to(device), relations.to(device), embeddings_only), self.tails())

    def answers(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The same blocks with what the graph says about the entities: the scores that answers are ranked by."""
        blocks = self.blocks(heads, relations)
        return blocks if self.graph_prior is None else self.graph_prior.added(heads, relations, blocks)

    def competitors(
        self,
        heads: Tensor,
        relations: Tensor,
        targets: Tensor,
        left_out: Callable[[Tensor], Pairs],
        embeddings_only: bool = False,
    ) -> Iterator[Counted]:
        """How many entities outscore the target (b,) of each query as answers, see ``screening.py``; on the CPU only.

        left_out: numbers (n,) of queries -> (positions among them, entities), each pair once, of those that do not
        compete, the same for equal queries; called by several threads. ``alone``: by vectors alone, without loops and
        closed world.
        """
        key = heads * len(self.self_loops) + relations
        _, first, asked = np.unique(key.numpy(), return_index=True, return_inverse=True)
        some = torch.from_numpy(first)  # the same question with another target is asked once
        heads, relations = heads[some], relations[some]
        facts = None if embeddings_only or self.graph_prior is None else Facts(self.graph_prior, heads, relations)
        queries = self._asked(heads, relations, embeddings_only)
        return competitors(
            queries, self.tails(), torch.from_numpy(asked), targets, lambda rows: left_out(some[rows]), facts
        )

    def top(self, heads: Tensor, relations: Tensor, k: int) -> Tensor:
        """Ids (b, k) of the k best tails of each query, unordered, without gradient."""
        with torch.no_grad():
            return scoring.top(self.query(heads, relations), self.tails(), k)

    @torch.no_grad()
    def _asked(self, heads: Tensor, relations: Tensor, embeddings_only: bool) -> Queries:
        queries = self.query(heads, relations)
        return queries if embeddings_only else replace(queries, masked=self.masked(heads, relations))


def _on_ball(tangent: Tensor, curvature: float) -> nn.Parameter:
    import geoopt  # only this storage needs it

    # a float would be held in float32, half of float64's digits
    ball = geoopt.PoincareBall(c=torch.tensor(curvature, dtype=tangent.dtype))
    return geoopt.ManifoldParameter(ball.expmap0(tangent), manifold=ball)
