"""Losses over all entities: the feed of distinct queries, N3, and distillation from cached predictions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from mulde.engine import Method, OptimizerSpec, Trainer
from mulde.errors import UsageError
from mulde.kge.feeds import AnswerBatch, AnswerFeed
from mulde.kge.losses import hard_loss, n3, one_vs_all_loss
from mulde.kge.methods.offline import Config, Offline, build
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.refe import RefE
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.cached_predictions import CachedPredictions, cached_predictions
from mulde.kge.training import supervised
from mulde.kge.training.stage import distil, train
from mulde.kge.training.supervised import Supervised
from tests.contracts.method import BEGINNING, check_method
from tests.kge import toys

GRAPH = toys.toy_graph()
TEACHERS = (RefE, ComplEx)


def model(scorer: type[Scorer] = RotH, dim: int = 4, seed: int = 0) -> KGEModel:
    config = ModelConfig(dim=dim, dtype="float64", init_scale=0.4, curvature="global")
    return KGEModel(scorer, GRAPH.num_entities, GRAPH.num_relations, config, seed)


def predictions() -> CachedPredictions:
    return cached_predictions(toys.ensemble(GRAPH, TEACHERS), GRAPH, 5, None, progress=False)


PREDICTIONS = predictions()


def offline(**changes: Any) -> Offline:
    return Offline(model(), PREDICTIONS, toys.options(Config, **changes))


def baseline(network: KGEModel, n3: float) -> Supervised:
    return Supervised(network, toys.options(supervised.Config, loss="1vsall", n3=n3))


def batch(size: int = 12) -> AnswerBatch:
    return next(iter(AnswerFeed(GRAPH, size)))


def gradients(network: KGEModel, loss: Tensor) -> list[Tensor]:
    """Of every parameter; zeros for the bias of heads, which cancels."""
    return list(torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True))


def same(first: AnswerBatch, second: AnswerBatch) -> bool:
    names = ("heads", "relations", "rows", "answers", "index")
    return first.weight == second.weight and all(torch.equal(getattr(first, it), getattr(second, it)) for it in names)


def test_an_epoch_asks_every_distinct_query_once_with_all_its_answers() -> None:
    expected = {(h, 2 * r, t) for h, r, t in GRAPH.train.tolist()} | {
        (t, 2 * r + 1, h) for h, r, t in GRAPH.train.tolist()
    }
    feed = AnswerFeed(GRAPH, 16)
    for epoch in (0, 1):
        feed.set_epoch(epoch)
        batches = list(feed)
        queries = [pair for b in batches for pair in zip(b.heads.tolist(), b.relations.tolist(), strict=True)]
        assert [len(b.heads) for b in batches[:-1]] == [16] * (len(feed) - 1)
        assert len(queries) == len(set(queries)) == feed.count == len({(h, r) for h, r, _ in expected})
        triples = Counter(
            (int(b.heads[row]), int(b.relations[row]), tail)
            for b in batches
            for row, tail in zip(b.rows.tolist(), b.answers.tolist(), strict=True)
        )
        assert triples == Counter(expected)
        assert all((b.rows.diff() >= 0).all() and same(feed.batch(b.index), b) for b in batches)


def test_its_order_is_a_function_of_seed_and_epoch_and_continues_in_mid_epoch() -> None:
    def epoch(seed: int, number: int) -> list[AnswerBatch]:
        feed = AnswerFeed(GRAPH, 16, seed)
        feed.set_epoch(number)
        return list(feed)

    whole = epoch(0, 1)
    assert all(map(same, whole, epoch(0, 1)))
    assert not same(whole[0], epoch(0, 0)[0]) and not same(whole[0], epoch(1, 1)[0])
    begun = AnswerFeed(GRAPH, 16)
    begun.set_epoch(1)
    next(iter(begun))
    resumed = AnswerFeed(GRAPH, 16)
    resumed.set_epoch(1)
    resumed.load_state_dict(begun.state_dict())
    rest = list(resumed)
    assert len(rest) == len(whole) - 1 and all(map(same, rest, whole[1:]))


@pytest.mark.parametrize("scorer", [RotH, RotE, ComplEx])
def test_one_vs_all_is_the_mean_of_the_losses_of_triples(scorer: type[Scorer]) -> None:
    """Over an epoch, too, it is the same sum as one query per triple, against every entity."""
    network, total = model(scorer), torch.zeros((), dtype=torch.float64)
    for each in AnswerFeed(GRAPH, 16):
        total = total + len(each.rows) * one_vs_all_loss(network, each)
    h, r, t = torch.from_numpy(GRAPH.train).T
    heads, relations, tails = torch.cat([h, t]), torch.cat([2 * r, 2 * r + 1]), torch.cat([t, h])
    scores = network.score(heads, relations, torch.arange(GRAPH.num_entities).expand(len(heads), -1))
    expected = torch.nn.functional.cross_entropy(scores, tails, reduction="sum")
    assert_close(total, expected, rtol=1e-9, atol=0)
    assert_close(gradients(network, total), gradients(network, expected), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("loss", ["1vsall", "bce"])
def test_a_batch_of_corruptions_has_no_such_loss(loss: Any) -> None:
    with pytest.raises(UsageError, match=f"should be binary or cross-entropy; got '{loss}'; 1vsall compares with all"):
        hard_loss(model(), toys.batch(GRAPH), loss)


def test_what_inherits_from_complex_predicts_relations_too() -> None:
    class Own(ComplEx):
        pass

    config = toys.options(supervised.Config, loss="1vsall", relation_weight=0.5, epochs=1, dim=4)
    made = [train(kind, GRAPH, config, None, bar=False) for kind in (Own, ComplEx)]
    first, second = (outcome.model for outcome in made)
    assert torch.equal(first.relation["factor"], second.relation["factor"])


@pytest.mark.parametrize("scorer", [ComplEx, RotH, RefE])
def test_n3_restated(scorer: type[Scorer]) -> None:
    network, each = model(scorer), batch()
    vectors = [name for name, kind in scorer.relation.items() if kind == "vector"]
    paired, total = scorer.pairs_coordinates(), 0.0
    for row, tail in zip(each.rows.tolist(), each.answers.tolist(), strict=True):
        relation = int(each.relations[row])
        parts = [network.entity[int(each.heads[row])], network.entity[tail]]
        parts += [network.relation[name][relation] for name in vectors]
        for x in (part.tolist() for part in parts):
            lengths = [math.hypot(*x[i : i + 2]) for i in range(0, len(x), 2)] if paired else x
            total += sum(abs(length) ** 3 for length in lengths)
    assert n3(network, each).item() == pytest.approx(total / len(each.rows), rel=1e-12)


def test_n3_of_zeros_has_a_gradient() -> None:
    network = model(ComplEx)
    torch.nn.init.zeros_(network.entity)
    n3(network, batch()).backward()
    assert network.entity.grad is not None and not network.entity.grad.any()


METHODS: dict[str, Callable[[], Method]] = {
    "offline": offline,
    "offline, no soft loss": lambda: offline(soft_weight=0.0),
    "offline, all": lambda: offline(soft_weight=0.3, temperature=2.0, n3=0.1),
    "supervised, 1vsall": lambda: baseline(model(ComplEx), 0.1),
}


@pytest.mark.parametrize("name", METHODS)
def test_contract(name: str) -> None:
    check_method(lambda: (METHODS[name](), batch()))


def test_terms_and_gradient_restated() -> None:
    """Query by query; softmax over all, and over all but the answers."""
    method, each = offline(soft_weight=0.3, temperature=2.0, n3=0.1), batch()
    junior = method.junior
    terms = method.losses(each, BEGINNING)
    scores = junior.score(each.heads, each.relations, torch.arange(GRAPH.num_entities).expand(len(each.heads), -1))
    hard = soft = torch.zeros((), dtype=torch.float64)
    for row in range(len(each.heads)):
        known = each.answers[each.rows == row]
        hard = hard - scores[row].log_softmax(0)[known].sum()
        others = torch.tensor([e for e in range(GRAPH.num_entities) if e not in known.tolist()])
        logarithms = torch.full_like(scores[row], -torch.inf)
        logarithms[others] = scores[row, others].log_softmax(0)
        number = int(each.index[row])
        ids = torch.from_numpy(PREDICTIONS.ids[number].astype("int64"))
        weights = (torch.from_numpy(PREDICTIONS.log_probabilities[number].astype("float64")) / 2.0).softmax(0)
        soft = soft - len(known) * (weights * logarithms[ids]).sum()
    hard, soft = hard / len(each.rows), 0.3 * soft / len(each.rows)
    expected = {"junior/hard": hard, "junior/soft": soft, "junior/n3": 0.1 * n3(junior, each)}
    assert list(terms) == list(expected)
    for name, value in expected.items():
        assert_close(terms[name], value, rtol=1e-6, atol=0)  # probabilities are float32
    ours, theirs = (gradients(junior, sum(losses.values(), torch.zeros(()))) for losses in (terms, expected))
    assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_without_soft_loss_it_is_supervised_training_bit_for_bit() -> None:
    reduced, plain = offline(soft_weight=0.0, n3=0.1), baseline(model(), 0.1)
    for method in (reduced, plain):
        Trainer(optimizers=OptimizerSpec("adam", lr=1e-2), seed=0, progress=False).fit(
            method, AnswerFeed(GRAPH, 16), epochs=2, name=None
        )
    before, after = reduced.junior.state_dict(), plain.model.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def test_some_queries_and_extra_ones() -> None:
    """Queries that are not cached have hard labels only, extra ones soft labels only; the sum of the weights stays."""
    config = toys.options(Config, teacher_queries=7, extra_queries=5, batch_size=1000, soft_weight=0.5, dim=4)
    teachers = toys.ensemble(GRAPH, TEACHERS)
    setup = build(config, GRAPH, {"student": model(), "teacher": teachers})
    method: Any = setup.method
    feed: Any = setup.feed
    each = next(iter(feed))
    plain = AnswerFeed(GRAPH, 1)
    known = {(h, r) for h, r in zip(plain.heads.tolist(), plain.relations.tolist(), strict=True)}
    extra = {(int(feed.heads[i]), int(feed.relations[i])) for i in range(plain.count, feed.count)}
    assert len(extra) == 5 and not extra & known and len(each.heads) == plain.count + 5
    assert Counter(each.rows.tolist()).total() == len(plain.tails)
    labels = method._soft_labels(each)
    weights = torch.zeros(len(each.heads), dtype=torch.float64).index_add_(0, labels.rows, labels.weights)
    queried = each.index[weights > 0]
    assert len(queried) == 12 and set(range(plain.count, feed.count)) <= set(queried.tolist())
    assert weights.sum().item() == pytest.approx(0.5, rel=1e-6)
    per_answer = (weights / torch.bincount(each.rows, minlength=len(each.heads)).clamp_min(1))[weights > 0]
    assert_close(per_answer, per_answer[:1].expand(12))
    assert method.losses(each, BEGINNING)["junior/soft"] > 0


def test_with_random_corruptions() -> None:
    """The hard loss is that of the batch; the soft one is over the cached entities of queries drawn from the cache."""
    options: dict[str, Any] = {"teacher_queries": 7, "soft_weight": 0.5, "temperature": 2.0, "dim": 4, "top_k": 5}
    config = toys.options(Config, loss="binary", **options)
    junior = model()
    setup = build(config, GRAPH, {"student": junior, "teacher": toys.ensemble(GRAPH, TEACHERS)})
    method: Any = setup.method
    queries: Any = next(iter(setup.feed or ()))
    torch.manual_seed(3)
    terms = method.losses(queries, BEGINNING)
    torch.manual_seed(3)
    drawn = torch.randint(7, (len(queries.heads), 1)).squeeze(1)
    known = KnownAnswers(with_reciprocals(GRAPH.train))
    numbers = method.numbers[drawn]
    ids, labels = method.predictions.labels(numbers, 2.0)
    total = 0.0
    for number, candidates, label in zip(numbers.tolist(), ids, labels, strict=True):
        head, relation = int(known.heads[number]), int(known.relations[number])
        assert not set(candidates[label > 0].tolist()) & set(known.answers(head, relation).tolist())
        scores = junior.score_all(torch.tensor([head]), torch.tensor([relation]))[0, candidates]
        total -= 4 * float((label * (scores / 2).log_softmax(0)).sum())
    assert_close(terms["junior/soft"].item(), 0.5 * total / len(drawn), rtol=1e-5, atol=0)
    assert_close(terms["junior/hard"], hard_loss(junior, queries))
    with pytest.raises(UsageError, match="n3 belongs to the loss 1vsall"):
        toys.options(Config, loss="binary", n3=0.1)


SMALL = {"dim": 4, "curvature": "global", "epochs": 2, "batch_size": 16, "eval_every": 1, "top_k": 5}


def distilled(folder: Path, teachers: tuple[type[Scorer], ...] = TEACHERS, **changes: Any) -> Any:
    config, ensemble = toys.options(Config, **{**SMALL, **changes}), toys.ensemble(GRAPH, teachers)
    return distil("roth", list(ensemble.teachers), GRAPH, config, folder, method="offline", bar=False)


def test_killed_and_continued_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, losses, steps = distilled(tmp_path / "whole").model.state_dict(), Offline.losses, []

    def killed(self: Offline, batch: AnswerBatch, clock: Any) -> dict[str, Tensor]:
        steps.append(clock.step)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return losses(self, batch, clock)

    with monkeypatch.context() as patch:
        patch.setattr(Offline, "losses", killed)
        with pytest.raises(KeyboardInterrupt):
            distilled(tmp_path / "killed", checkpoint_every=0.0)
    continued = distilled(tmp_path / "killed").model.state_dict()
    assert [name for name in whole if not torch.equal(whole[name], continued[name])] == []


def test_cached_predictions_serve_two_juniors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    distilled(tmp_path / "first", teacher_cache=shared)
    assert not (tmp_path / "first/teacher_predictions").exists()
    monkeypatch.setattr(
        "mulde.kge.teachers.cached_predictions.cache_predictions", lambda *_: pytest.fail("queried again")
    )
    distilled(tmp_path / "second", teacher_cache=shared, seed=1)


def test_a_finished_junior_is_not_taken_for_one_of_other_teachers(tmp_path: Path) -> None:
    distilled(tmp_path / "run", teacher_cache=tmp_path / "a")
    with pytest.raises(UsageError, match="teachers: was"):
        distilled(tmp_path / "run", (RotE,), teacher_cache=tmp_path / "b")
