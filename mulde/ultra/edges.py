"""The edges of a graph, in the order in which a network sums over them.

The edge (x, r, y) is stored at x, which receives a message from y. Many edges share their pair (r, y): a message is
made once for each pair, and summed once for each edge. FB15k-237 has 544,230 edges and 149,689 pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from kge_data.inverse import inverse_of, num_internal, with_reciprocals
from kge_data.keys import triple_keys
from kge_data.tripleset import TripleSet

BLOCK = 4096  # pairs whose messages are made at once, small enough for the processor's cache


class Edges:
    """Edges (x, r, y), sorted by x.

    Parameters
    ----------
    triples
        (m, 3) int64, the edges.
    nodes, relations
        Sizes of the graph.

    Attributes
    ----------
    offsets
        (nodes + 1,) int64, the start of the edges of each node.
    pair
        (m,) int64, the pair of each edge, counted from 1; 0 stands for no message.
    sources, kinds
        (p,) int64, node y and relation r of each pair.
    """

    def __init__(self, triples: NDArray[np.int64], nodes: int, relations: int) -> None:
        self.nodes, self.relations = nodes, relations
        keys = np.sort(triple_keys(triples, relations, nodes))
        targets, message = np.divmod(keys, relations * nodes)
        pairs, pair = np.unique(message, return_inverse=True)
        kinds, sources = np.divmod(pairs, nodes)
        self.keys = torch.from_numpy(keys)
        self.offsets = torch.from_numpy(np.searchsorted(targets, np.arange(nodes + 1)))
        self.pair = torch.from_numpy(pair + 1)
        self.sources, self.kinds = torch.from_numpy(sources), torch.from_numpy(kinds)
        self._place = torch.zeros(len(pairs) + 1, dtype=torch.int64)
        self._messages = torch.empty(0)

    def __len__(self) -> int:
        return len(self.pair)

    def repeated(self, copies: int) -> Edges:
        """A graph of several copies of this one; node x of copy c has the number c * nodes + x."""
        if copies == 1:
            return self
        found = Edges.__new__(Edges)
        found.nodes, found.relations = copies * self.nodes, self.relations

        def spread(each: Tensor, stride: int) -> Tensor:
            return (each + stride * torch.arange(copies).unsqueeze(1)).flatten()

        starts = spread(self.offsets[:-1], len(self))
        found.keys = self.keys
        found.offsets = torch.cat([starts, starts.new_tensor([copies * len(self)])])
        found.pair = spread(self.pair, len(self.sources))
        found.sources, found.kinds = spread(self.sources, self.nodes), self.kinds.repeat(copies)
        found._place = torch.zeros(copies * len(self.sources) + 1, dtype=torch.int64)
        found._messages = torch.empty(0)
        return found

    def find(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """The number of each edge (k,) in the graph of one copy; every edge must exist."""
        return torch.searchsorted(self.keys, (heads * self.relations + relations) * self.nodes + tails)

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The edges of nodes (k,): their numbers, and the place of the first of each node among them (k,)."""
        begin = self.offsets[rows]
        counts = self.offsets[rows + 1] - begin
        first = counts.cumsum(0) - counts
        return torch.arange(int(counts.sum())) + (begin - first).repeat_interleave(counts), first

    def neighbours(self, rows: Tensor) -> Tensor:
        """The nodes whose messages the nodes (k,) receive, with repetitions."""
        return self.sources[self.pair[self.of(rows)[0]] - 1]

    def sums(
        self, states: Tensor, vectors: Tensor, rows: Tensor | None = None, dropped: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The sum of the messages to each node, state of the source times vector of the relation, per coordinate.

        Parameters
        ----------
        states
            (nodes, d), the state of every node.
        vectors
            (relations, d)
        rows
            (k,) nodes whose sums are wanted; None: all.
        dropped
            (m,) bool, edges without a message; None: none.

        Returns
        -------
        tuple of Tensor
            The sums (k, d), and the nodes whose messages are in them, with repetitions, those of dropped edges too.
        """
        if rows is None:
            place, first = self.pair, self.offsets[:-1]
            if dropped is not None:
                place = place.masked_fill(dropped, 0)
            sources, kinds = self.sources, self.kinds
            reached = sources
        else:
            edges, first = self.of(rows)
            place = self.pair[edges]
            reached = self.sources[place - 1]
            if dropped is not None:
                place = place.masked_fill(dropped[edges], 0)
            place, used = self._compact(place)
            sources, kinds = self.sources[used], self.kinds[used]
        messages = self._made(states, vectors, sources, kinds)
        return functional.embedding_bag(place, messages, first, mode="sum"), reached

    def _compact(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Number the pairs that occur from 1; the new numbers, and the index of each such pair."""
        self._place[place] = 1
        self._place[0] = 0
        used = self._place.nonzero().squeeze(1)
        self._place[used] = torch.arange(1, len(used) + 1)
        found = self._place[place]
        self._place[used] = 0
        return found, used - 1

    def _made(self, states: Tensor, vectors: Tensor, sources: Tensor, kinds: Tensor) -> Tensor:
        """The messages of pairs, from row 1 on; row 0 is zero. The memory is reused by the next call."""
        size = len(sources) + 1, states.shape[1]
        if self._messages.numel() < size[0] * size[1] or self._messages.dtype != states.dtype:
            self._messages = states.new_empty(size[0] * size[1])
        messages = self._messages[: size[0] * size[1]].view(size)
        messages[0] = 0
        blocks = messages[1:].split(BLOCK), sources.split(BLOCK), kinds.split(BLOCK)
        for block, source, kind in zip(*blocks, strict=True):
            torch.index_select(states, 0, source, out=block)
            block.mul_(vectors.index_select(0, kind))
        return messages


def edges_of(graph: TripleSet) -> Edges:
    """The training triples in both directions, with internal relation ids (`kge_data.inverse`)."""
    return Edges(with_reciprocals(graph.train), graph.num_entities, num_internal(graph.num_relations))


def relation_edges(graph: TripleSet) -> Edges:
    """The graph of relations: two are joined where they share an entity (Galkin et al. 2024, section 4.1).

    Its nodes are the internal relations, its four relations say how they meet: head to head, tail to tail, head to
    tail, and tail to head, in this order.
    """
    heads, relations, _ = with_reciprocals(graph.train).T
    count = num_internal(graph.num_relations)
    ones = np.ones(len(heads), dtype=np.int64)
    by_head = csr_array((ones, (relations, heads)), shape=(count, graph.num_entities))
    by_tail = by_head[inverse_of(np.arange(count))]
    meetings = by_head @ by_head.T, by_tail @ by_tail.T, by_head @ by_tail.T, by_tail @ by_head.T
    parts = [np.stack([each.row, np.full(each.nnz, kind), each.col], axis=1)
             for kind, each in enumerate(meeting.tocoo() for meeting in meetings)]  # fmt: skip
    return Edges(np.concatenate(parts).astype(np.int64), count, len(meetings))
