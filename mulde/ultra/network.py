"""The network of ULTRA: message passing over the graph of relations, then over the graph itself.

Both are neural Bellman-Ford networks (Zhu et al. 2021). A layer computes, for each node x with the edges (x, r, y),

    a_x = [x is the query's node] q + sum over the edges of w_r * h_y        (aggregation, equation 1 of ULTRA)
    h_x <- h_x + relu(LayerNorm(W [h_x, a_x] + b))                           (update)

where h_x is q at the query's node before the first layer, and zero elsewhere. In the graph of relations the query's
node is the query's relation, q is a vector of ones, and w_r is learned; the result is a vector for each relation. In
the graph itself q is the vector of the query's relation, w_r = MLP(vector of r) with an MLP for each layer, and the
score of x is MLP([h_x, q]).

A node that is more than l edges away from the query's node has the same state after l layers for every query of one
relation. These states are computed once for each relation (:class:`Relation`). For a query, only the states of the
nodes that are reached are computed: on WN18RR a fifteenth of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.ultra.edges import Edges

MOST = 0.5  # fraction of the nodes; if more are reached, all are computed, which needs no lists of nodes


class Layer(nn.Module):
    """The update of a layer, and what its relation vectors are made of.

    Parameters
    ----------
    dim
        Width d.
    relations
        Number of learned relation vectors; None: they are projected from given ones.
    """

    def __init__(self, dim: int, relations: int | None) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * dim, dim)
        self.layer_norm = nn.LayerNorm(dim)
        if relations is None:
            self.relation_projection = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        else:
            self.relation = nn.Embedding(relations, dim)

    def forward(self, states: Tensor, sums: Tensor) -> Tensor:
        """New states (k, d) from the old ones and the sums of messages, (k, d) each."""
        own, received = self.linear.weight.T.chunk(2)
        found = torch.addmm(self.linear.bias, states, own).addmm_(sums, received)
        found = functional.layer_norm(found, found.shape[1:], self.layer_norm.weight, self.layer_norm.bias)
        return found.relu_().add_(states)


class BellmanFord(nn.Module):
    """Layers of message passing."""

    layers: Sequence[Layer]

    def __init__(self, dim: int, depth: int, relations: int | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(dim, relations) for _ in range(depth)])  # type: ignore[assignment]

    def states(self, edges: Edges, vectors: Sequence[Tensor], start: Tensor) -> list[Tensor]:
        """The states (nodes, d) of all nodes before the first layer, which are ``start``, and after each layer."""
        found = [start]
        for layer, vector in zip(self.layers, vectors, strict=True):
            sums, _ = edges.sums(found[-1], vector)
            found.append(layer(found[-1], sums.add_(start)))
        return found

    def changed(
        self,
        edges: Edges,
        vectors: Sequence[Tensor],
        others: Sequence[Tensor],
        sources: Tensor,
        query: Tensor,
        dropped: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """The last states of the nodes that queries reach.

        Parameters
        ----------
        edges, vectors
            The graph, and for each layer the vectors of its relations (relations, d).
        others
            States of nodes that are not reached, for each layer (nodes, d): `states` without a query. They are changed
            during the computation and restored.
        sources
            (b,) the node of each query; no edges may join the parts of the graph that they are in.
        query
            (d,) the vector q.
        dropped
            (m,) bool, edges that are left out.

        Returns
        -------
        tuple
            The nodes that are reached (k,), None for all, and their states (k, d).
        """
        reached = torch.zeros(edges.nodes, dtype=torch.bool)
        reached[sources] = True
        rows: Tensor | None = sources
        new = query.expand(len(sources), -1)
        neighbours = edges.neighbours(sources)
        changes: list[tuple[Tensor, Tensor, Tensor]] = []  # states, rows, and what they were
        try:
            for other, layer, vector in zip(others[:-1], self.layers, vectors, strict=True):
                if rows is None:
                    states = new
                else:
                    states = other
                    changes.append((states, rows, states[rows]))
                    states[rows] = new
                    reached[neighbours] = True
                    rows = reached.nonzero().squeeze(1)
                    if len(rows) > MOST * edges.nodes:
                        rows = None
                sums, neighbours = edges.sums(states, vector, rows, dropped)
                at = sources if rows is None else torch.searchsorted(rows, sources)
                sums[at] += query
                new = layer(states if rows is None else states[rows], sums)
        finally:
            for states, changed, before in changes:
                states[changed] = before
        return rows, new


@dataclass(frozen=True)
class Relation:
    """What all queries of one relation share.

    ``query`` (d,) is its vector, ``vectors`` are those of all relations in each layer, ``others`` the states of nodes
    that a query does not reach, for each layer, and ``scores`` (nodes,) their scores.
    """

    query: Tensor
    vectors: list[Tensor]
    others: list[Tensor]
    scores: Tensor


class RelationModel(BellmanFord):
    """The network over the graph of relations."""

    def forward(self, edges: Edges, relation: int) -> Tensor:
        """The vector (relations, d) of every relation for queries of one relation."""
        vectors = [layer.relation.weight for layer in self.layers]
        start = torch.zeros(edges.nodes, vectors[0].shape[1], dtype=vectors[0].dtype)
        start[relation] = 1
        return self.states(edges, vectors, start)[-1]


class EntityModel(BellmanFord):
    """The network over the graph itself."""

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, None)
        self.mlp = nn.Sequential(nn.Linear(2 * dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, 1))

    def of_relation(self, edges: Edges, vectors: Tensor, relation: int) -> Relation:
        """What queries of a relation share, from the vectors of all relations (relations, d)."""
        each = [layer.relation_projection(vectors) for layer in self.layers]
        others = self.states(edges, each, vectors.new_zeros(edges.nodes, vectors.shape[1]))
        return Relation(vectors[relation], each, others, self.score(others[-1], vectors[relation]))

    def score(self, states: Tensor, query: Tensor) -> Tensor:
        """Scores (k,) of nodes with these states (k, d)."""
        first, _, last = cast("list[nn.Linear]", list(self.mlp))
        own, given = first.weight.chunk(2, dim=1)
        hidden = torch.addmm(torch.addmv(first.bias, given, query), states, own.T).relu_()
        return torch.addmv(last.bias, hidden, last.weight[0])

    def forward(self, edges: Edges, shared: Relation, sources: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Scores (nodes,) of all nodes for queries of one relation; the parameters are those of `changed`."""
        rows, states = self.changed(edges, shared.vectors, shared.others, sources, shared.query, dropped)
        scores = self.score(states, shared.query)
        return scores if rows is None else shared.scores.clone().index_copy_(0, rows, scores)


class Ultra(nn.Module):
    """Both networks; the names of the parameters are those of the published checkpoints."""

    def __init__(self, dim: int = 64, relation_layers: int = 6, entity_layers: int = 6, meetings: int = 4) -> None:
        super().__init__()
        self.relation_model = RelationModel(dim, relation_layers, meetings)
        self.entity_model = EntityModel(dim, entity_layers)
