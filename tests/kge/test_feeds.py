"""The feed: both directions once per epoch, reproducible, and continued in the middle of an epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch

from mulde.engine.feed import Passes
from mulde.errors import UsageError
from mulde.kge.feeds import AnswerFeed, QueryBatch, QueryFeed
from tests.kge import toys

GRAPH = toys.toy_graph()


def updates(passes: Passes, **arguments: int) -> Iterator[QueryBatch]:
    """The only batch of each update of a pass."""
    return (batch for (batch,) in passes.run(**arguments))


def parts(batch: QueryBatch) -> list[torch.Tensor]:
    return [part for part in vars(batch).values() if part is not None]


def same(first: list[QueryBatch], second: list[QueryBatch]) -> bool:
    return len(first) == len(second) and all(
        len(parts(a)) == len(parts(b)) and all(map(torch.equal, parts(a), parts(b)))
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_asks_every_triple_in_both_directions_once() -> None:
    feed = toys.feed(GRAPH, batch_size=16)
    for epoch in (0, 1):
        feed.set_epoch(epoch)
        found: Counter[tuple[int, int, int]] = Counter()
        sizes = []
        for batch in feed:
            found.update(zip(batch.heads.tolist(), batch.relations.tolist(), batch.tails.tolist(), strict=True))
            sizes.append(len(batch.heads))
        expected: Counter[tuple[int, int, int]] = Counter()
        for h, r, t in GRAPH.train.tolist():
            expected[h, 2 * r, t] += 1
            expected[t, 2 * r + 1, h] += 1
        assert found == expected
        assert sizes == [16] * 8 + [12]
        assert len(feed) == 9


def test_shapes_and_types() -> None:
    for corrupt in ("tail", "both"):
        batch = next(iter(QueryFeed(GRAPH, 16, 5, corrupt=corrupt)))  # type: ignore[arg-type]
        assert batch.heads.shape == batch.relations.shape == batch.tails.shape == (16,)
        assert batch.negatives.shape == (16, 5)
        assert all(part.dtype == torch.int64 for part in parts(batch))
        if corrupt == "tail":
            assert batch.negative_heads is None
        else:
            assert batch.negative_heads is not None and batch.negative_heads.shape == (16, 5)
            assert not torch.equal(batch.negative_heads, batch.negatives)
        moved = batch.to("cpu")
        assert same([moved], [batch])


def test_corruptions_are_uniform() -> None:
    """Pooled over epochs; five standard deviations of a count."""
    feed = QueryFeed(GRAPH, 1000, 200, corrupt="both")
    tails, heads = [], []
    for epoch in range(100):
        feed.set_epoch(epoch)
        for batch in feed:
            assert batch.negative_heads is not None
            tails.append(batch.negatives.flatten())
            heads.append(batch.negative_heads.flatten())
    for drawn in (torch.cat(tails), torch.cat(heads)):
        expected = len(drawn) / GRAPH.num_entities
        assert (drawn.bincount(minlength=GRAPH.num_entities) - expected).abs().max() < 5 * expected**0.5


@pytest.mark.parametrize("corrupt", ["tail", "both"])
def test_order_and_negatives_are_functions_of_seed_and_epoch(corrupt: Literal["tail", "both"]) -> None:
    def pass_of(seed: int, epoch: int, noise: int) -> list[QueryBatch]:
        torch.manual_seed(noise)  # the caller's random state must not matter, nor be touched
        state = torch.get_rng_state()
        feed = QueryFeed(GRAPH, 16, 5, corrupt=corrupt, seed=seed)
        feed.set_epoch(epoch)
        batches = list(feed)
        assert torch.equal(torch.get_rng_state(), state)
        return batches

    assert same(pass_of(3, 2, noise=0), pass_of(3, 2, noise=1))
    assert not same(pass_of(3, 2, noise=0), pass_of(3, 1, noise=0))
    assert not same(pass_of(3, 2, noise=0), pass_of(2, 2, noise=0))


@pytest.mark.parametrize("done", [1, 4, 8])
@pytest.mark.parametrize("corrupt", ["tail", "both"])
def test_continues_within_an_epoch(done: int, corrupt: Literal["tail", "both"]) -> None:
    """As the trainer does it: the state is taken after `done` batches, a new feed delivers the rest."""
    whole = list(updates(Passes(QueryFeed(GRAPH, 16, 5, corrupt=corrupt)), epoch=4, done=0))
    interrupted = Passes(QueryFeed(GRAPH, 16, 5, corrupt=corrupt))
    running = updates(interrupted, epoch=4, done=0)
    first: list[QueryBatch] = []
    state: dict[str, Any] = {}
    for _ in range(done):
        first.append(next(running))
        state = interrupted.state_dict()
    continued = Passes(QueryFeed(GRAPH, 16, 5, corrupt=corrupt))
    continued.load_state_dict(state)
    assert same(first + list(updates(continued, epoch=4, done=done)), whole)


def test_a_state_at_the_end_begins_the_next_epoch() -> None:
    feed = Passes(toys.feed(GRAPH))
    list(feed.run(epoch=0, done=0))
    continued = Passes(toys.feed(GRAPH))
    continued.load_state_dict(feed.state_dict())
    assert same(list(updates(continued, epoch=1, done=0)), list(updates(Passes(toys.feed(GRAPH)), epoch=1, done=0)))


def test_known_answers_are_all_that_the_training_triples_hold() -> None:
    for batch in QueryFeed(GRAPH, 16, 5, known=True):
        expected = set()
        for row, (head, relation) in enumerate(zip(batch.heads.tolist(), batch.relations.tolist(), strict=True)):
            query, answer = (0, 2) if relation % 2 == 0 else (2, 0)
            expected |= {(row, int(t[answer])) for t in GRAPH.train if (t[query], t[1]) == (head, relation // 2)}
        assert len(expected) > len(batch.heads)
        assert batch.known_rows is not None and batch.known_tails is not None
        found = list(zip(batch.known_rows.tolist(), batch.known_tails.tolist(), strict=True))
        assert len(found) == len(expected) and set(found) == expected
        every = torch.arange(GRAPH.num_entities).expand(len(batch.heads), -1)
        table = batch.known_among(every, GRAPH.num_entities)
        assert {(row, tail) for row, tail in table.nonzero().tolist()} == expected
        backwards = batch.known_among(every.flip(1), GRAPH.num_entities)
        assert torch.equal(backwards, table.flip(1))


def test_looking_up_changes_neither_order_nor_negatives() -> None:
    plain, looked_up = QueryFeed(GRAPH, 16, 5), QueryFeed(GRAPH, 16, 5, known=True)
    for before, after in zip(plain, looked_up, strict=True):
        assert same([before], [QueryBatch(after.heads, after.relations, after.tails, after.negatives)])


def test_a_batch_without_known_answers_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"this batch has no known answers; make its feed with QueryFeed\("):
        toys.batch(GRAPH).known_among(torch.zeros(20, 1, dtype=torch.int64), GRAPH.num_entities)


@pytest.mark.parametrize("corrupt", ["tail", "both"])
def test_processes_share_the_batches_of_one(corrupt: Literal["tail", "both"]) -> None:
    """140 queries in batches of 13: eleven batches, the last one of 10, divided into 4, 3 and 3."""
    processes = 3
    whole = list(QueryFeed(GRAPH, 13, 4, corrupt, seed=5))
    shared = [list(QueryFeed(GRAPH, 13, 4, corrupt, 5, rank=rank, processes=processes)) for rank in range(processes)]
    assert [len(batches) for batches in shared] == [len(whole)] * processes
    for number, batch in enumerate(whole):
        for rank in range(processes):
            mine = shared[rank][number]
            for name in ("heads", "relations", "tails", "negatives", "negative_heads"):
                expected = getattr(batch, name)
                assert expected is None or torch.equal(getattr(mine, name), expected[rank::processes])
        value = batch.negatives.double().mean(1)  # anything that is averaged over the batch
        means = [part[number].weight * part[number].negatives.double().mean() for part in shared]
        assert torch.stack(means).mean() == pytest.approx(value.mean().item(), rel=1e-12)


def test_known_answers_go_with_their_rows() -> None:
    whole = list(QueryFeed(GRAPH, 13, 4, known=True))
    every = torch.arange(GRAPH.num_entities).expand(13, -1)
    for rank in range(3):
        feed = QueryFeed(GRAPH, 13, 4, known=True, rank=rank, processes=3)
        for batch, mine in zip(whole, feed, strict=True):
            count = len(mine.heads)
            expected = batch.known_among(every[: len(batch.heads)], GRAPH.num_entities)[rank::3]
            assert torch.equal(mine.known_among(every[:count], GRAPH.num_entities), expected)


def test_processes_share_batches_of_answers_and_weigh_them_by_their_number() -> None:
    whole = list(AnswerFeed(GRAPH, 13, seed=5))
    shared = [list(AnswerFeed(GRAPH, 13, 5, rank, 3)) for rank in range(3)]
    for number, batch in enumerate(whole):
        means = []
        for rank, batches in enumerate(shared):
            mine = batches[number]
            assert torch.equal(mine.index, batch.index[rank::3] if rank < len(batch.index) else batch.index[:1])
            pairs = torch.stack([batch.index[batch.rows], batch.answers], 1)[batch.rows % 3 == rank]
            if mine.weight:
                assert torch.equal(torch.stack([mine.index[mine.rows], mine.answers], 1), pairs)
            means.append(mine.weight * mine.answers.double().mean())
        assert torch.stack(means).mean() == pytest.approx(batch.answers.double().mean().item(), rel=1e-12)
    few = [next(iter(AnswerFeed(GRAPH, 2, 5, rank, 3))) for rank in range(3)]
    assert [len(part.heads) for part in few] == [1, 1, 1] and few[2].weight == 0
    assert sum(part.weight for part in few) == pytest.approx(3)


def test_a_batch_of_fewer_rows_than_processes() -> None:
    parts = [next(iter(QueryFeed(GRAPH, 2, 4, seed=5, rank=rank, processes=3))) for rank in range(3)]
    assert [len(part.heads) for part in parts] == [1, 1, 1]
    assert [part.weight for part in parts] == [1.5, 1.5, 0.0]


def test_random_candidates_are_drawn_for_all_processes_and_divided() -> None:
    whole = next(iter(QueryFeed(GRAPH, 10, 4)))
    torch.manual_seed(1)
    expected = whole.draw(25, 6)
    for rank in range(3):
        torch.manual_seed(1)
        part = next(iter(QueryFeed(GRAPH, 10, 4, rank=rank, processes=3)))
        assert torch.equal(part.draw(25, 6), expected[rank::3])


def test_a_part_keeps_its_place_on_another_device() -> None:
    part = next(iter(QueryFeed(GRAPH, 10, 4, rank=1, processes=3)))
    assert part.to("cpu").part == part.part and part.to("cpu").weight == part.weight
