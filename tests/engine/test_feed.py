"""Feeds: plain ones, optional capabilities, misspelt names, and parts of batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from mulde.engine import Trainer
from mulde.engine.feed import Batch, Divisible, Feed, Passes, PerEpoch, Resumable, Seeded
from mulde.errors import UsageError
from tests.engine.toys import Peers, ReactiveFeed, ShuffledFeed, linear_network


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        yield from range(3)


@pytest.mark.parametrize(
    ("feed", "length"),
    [
        ([1, 2, 3], 3),
        ((1, 2), 2),
        (DataLoader(TensorDataset(torch.arange(6)), batch_size=2), 3),
        (DataLoader(Endless(), batch_size=None), None),
        (ShuffledFeed(), 4),
        (ReactiveFeed(linear_network(0)), None),
    ],
)
def test_ready_feeds(feed: Any, length: int | None) -> None:
    assert isinstance(feed, Feed)
    passes = Passes(feed, rank=1, processes=2)
    assert passes.length == length
    batches = list(passes.run(0, 0))
    assert len(batches) == (length or len(batches)) > 0
    assert passes.weight(batches[0][0]) == 1.0


def test_capabilities_of_a_loader() -> None:
    loader = DataLoader(TensorDataset(torch.arange(6)), generator=torch.Generator())
    assert isinstance(loader, Seeded)
    assert not isinstance(loader, PerEpoch | Resumable | Divisible)


class Own(list[int]):
    """A feed with attributes of its own."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__([1])
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("feed", "sentence"),
    [
        (3, "the feed is a int, which cannot be iterated; pass a list, a DataLoader or a feed"),
        (Own(set_epochs=print), 'Own.set_epochs is not read by the engine; did you mean "set_epoch"? Rename it'),
        (Own(statedict=print), 'Own.statedict is not read by the engine; did you mean "state_dict"? Rename it'),
        (Own(devide=print), 'Own.devide is not read by the engine; did you mean "divide"? Rename it'),
        (Own(genrator=None), 'Own.genrator is not read by the engine; did you mean "generator"? Rename it'),
        (
            Own(state_dict=dict),
            "Own has state_dict only; to be resumed it needs state_dict and load_state_dict",
        ),
        (
            Own(generator=np.random.default_rng()),
            "Own.generator is a Generator, whose state is not saved; use a torch.Generator, or add state_dict and "
            "load_state_dict",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(feed: Any, sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Trainer().fit(Peers(), feed, epochs=1)
    assert str(refusal.value) == sentence


def test_a_resumable_feed_may_have_any_generator() -> None:
    passes = Passes(Own(generator=np.random.default_rng(), state_dict=dict, load_state_dict=print))
    assert passes.state_dict()["position"] == {}


@pytest.mark.parametrize("name", ["images", "seed", "generate", "epoch", "sampler", "position"])
def test_other_names_are_free(name: str) -> None:
    assert Passes(Own(**{name: 1})).state_dict()["position"] is None


@dataclass
class Rows:
    rows: Tensor
    weight: float = 1.0


@dataclass
class Misspelt:
    rows: Tensor
    wieght: float = 1.0


class Rowwise:
    """A feed that divides one batch of three rows."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind, self.place = kind, (0, 1)

    def divide(self, rank: int, processes: int) -> None:
        self.place = (rank, processes)

    def __iter__(self) -> Iterator[Any]:
        rank, processes = self.place
        rows = torch.arange(3)[rank::processes]
        yield self.kind(rows, len(rows) * processes / 3)


def test_a_feed_is_divided_among_processes() -> None:
    parts = []
    for rank in range(2):
        passes = Passes(Rowwise(Rows), rank, processes=2)
        ((batch,),) = passes.run(0, 0)
        assert isinstance(batch, Batch)
        parts.append((batch.rows.tolist(), passes.weight(batch)))
    assert parts == [([0, 2], 4 / 3), ([1], 2 / 3)]
    whole = Passes(Rowwise(Rows))
    assert whole.weight(next(whole.run(0, 0))[0]) == 1.0


def test_a_part_without_weight_is_refused() -> None:
    passes = Passes(Rowwise(Misspelt), rank=0, processes=2)
    with pytest.raises(UsageError) as refusal:
        passes.weight(next(passes.run(0, 0))[0])
    assert str(refusal.value) == (
        "Rowwise divides its batches among processes, but its batch, a Misspelt, has no attribute weight: the examples "
        "of this part over the mean of all parts; add it, 1.0 if all parts are equal"
    )
    single = Passes(Rowwise(Misspelt))
    assert single.weight(next(single.run(0, 0))[0]) == 1.0
