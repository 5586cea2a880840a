"""CoLAD: the two measures of a clear split, and the assigning detector."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.engine import Clock, Trainer
from mulde.engine.protocol import Setup
from mulde.vision.methods import colad
from mulde.vision.methods.colad import CoLAD, Config, fisher, second_assigns, sigma_over_mu
from mulde.vision.models.one_stage import DetectorShape
from mulde.vision.training.detection import train_on_boxes
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys

INF = float("inf")
SMALL: dict[str, Any] = {
    "student": "cnn-4-6-8",
    "partner": "cnn-3-4-5",
    "shape": DetectorShape(width=8, anchor_scale=3.0, stages=2, extra=0, tower=1),
    "training": Training(2, 12, "none", OptimizerSteps("adam", 2e-3)),
}


def made(**changes: Any) -> CoLAD:
    return toys.built(colad, Config(**{**SMALL, **changes}), toys.boxed_split())[0]


def test_sigma_over_mu_by_hand() -> None:
    costs = torch.tensor([[1.0, 2, 3, INF], [2, 2, 2, 2], [5, INF, INF, INF]])
    assert sigma_over_mu(costs).tolist() == pytest.approx([1 / 2, 0, 0])  # unbiased: σ² = (1 + 0 + 1) / 2


def test_fisher_by_hand() -> None:
    # Two clusters so far apart that every cost belongs to one of them.
    low, high = [1.0, 1.2, 1.4], [9.0, 9.1, 9.2, 9.3]
    expected = (np.mean(high) - np.mean(low)) ** 2 / (np.var(low) + np.var(high))
    assert fisher(torch.tensor([low + high])).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("measure", [sigma_over_mu, fisher])
def test_two_heaps_score_above_a_flat_list(measure: Any) -> None:
    two_heaps = [0.3, 0.32, 0.35, 0.38, 2.0, 2.1, 2.05, 1.9, 2.15]
    flat = [*torch.linspace(0.8, 1.6, 9).tolist()]
    clear, unclear = measure(torch.tensor([two_heaps, flat])).tolist()
    assert clear > 2 * unclear


def test_roles_per_object_and_level() -> None:
    levels = torch.tensor([0, 0, 0, 1, 1, 2])
    first = torch.tensor([[1.0, 2, 3, 1, 1.1, 0.5], [1.0, 1, 1, INF, INF, 0.5], [INF] * 6])
    second = torch.tensor([[1.0, 1, 1.1, 1, 3, 0.4], [1.0, 1, 1, INF, INF, 0.6], [INF] * 6])
    chosen, present = second_assigns(first, second, levels, "sigma/mu")
    # Object 0: a is clearer on level 0, b on level 1, b is cheaper at the lone candidate of level 2.
    assert chosen[0].tolist() == [False, True, True]
    # Object 1: equal, so b; no candidates; a is cheaper.
    assert chosen[1].tolist()[::2] == [True, False]
    assert present.tolist() == [[True, True, True], [True, False, True], [False, False, False]]


def test_fisher_settles_roles_too() -> None:
    levels = torch.zeros(8, dtype=torch.int64)
    heaps, flat = torch.tensor([[0.3, 0.32, 0.35, 2.0, 2.1, 2.05, 1.9, 2.2]]), torch.linspace(0.8, 1.6, 8)[None]
    assert second_assigns(flat, heaps, levels, "fisher")[0].item()
    assert not second_assigns(heaps, flat, levels, "fisher")[0].item()


def test_both_learn_from_one_assignment_and_the_decisions_are_counted() -> None:
    method, batch = made(), toys.boxed_batch()
    one, two = method._assignments(method.peer_a(batch.images), method.peer_b(batch.images), batch)
    assert torch.equal(one, two) and (one >= 0).any()
    objects = int((batch.labels >= 0).sum())
    assert 0 < int(method.decisions.sum()) <= 2 * objects
    terms = method.losses(batch, toys.BEGINNING)
    torch.stack(list(terms.values())).sum().backward()
    for peer in (method.peer_a, method.peer_b):
        assert all(p.grad is not None and p.grad.count_nonzero() > 0 for p in peer.class_tower.parameters())


def test_each_level_is_assigned_by_the_network_that_was_chosen_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = made(), toys.boxed_batch()
    first, second = method.peer_a(batch.images), method.peer_b(batch.images)
    own = [made(roles="own")._assignments(first, second, batch)[i] for i in (0, 1)]

    def always(answer: bool) -> Any:
        shape = (int((batch.labels >= 0).sum()), 2)
        return lambda *_: (torch.full(shape, answer), torch.ones(shape, dtype=torch.bool))

    for answer in (False, True):
        monkeypatch.setattr(colad, "second_assigns", always(answer))
        assert torch.equal(method._assignments(first, second, batch)[0], own[answer])


def test_own_roles_are_two_plain_trainings_bit_for_bit() -> None:
    split, config = toys.boxed_split(), Config(roles="own", **SMALL)
    method, feed = toys.built(colad, config, split)
    baseline = made()
    Session().fit(Setup(method, feed), config)
    for name in ("peer_a", "peer_b"):
        detector = getattr(baseline, name)
        train_on_boxes(detector, split.train, config.training, Session(), split.seed, name)
        ours = getattr(method, name).state_dict().values()
        assert all(map(torch.equal, ours, detector.state_dict().values()))


@pytest.mark.parametrize("roles", ["sigma/mu", "fisher", "own"])
def test_images_without_objects(roles: str) -> None:
    batch = toys.boxed_batch()
    empty = dataclasses.replace(batch, labels=torch.full_like(batch.labels, -1))
    method = made(roles=roles)
    found = method.losses(empty, toys.BEGINNING)
    assert all(value.isfinite() for value in found.values()) and found["peer_a/box"] == 0 == found["peer_b/box"]
    assert int(method.decisions.sum()) == 0


def test_detectors_with_other_anchors_are_refused() -> None:
    with pytest.raises(ValueError, match="the detectors have different anchors"):
        made(partner="cnn-4-6-8-10").losses(toys.boxed_batch(), toys.BEGINNING)


def fraction_of_second(roles: str, seed: int, *, still: bool) -> tuple[float, float]:
    """How often b assigned in the whole training and in its last third; still: a keeps its initial weights."""
    study = colad.STUDY
    method, feed = toys.built(colad, dataclasses.replace(study.config, roles=roles), study.split(seed))
    counts: list[Tensor] = []
    original = method.losses

    def watching(batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        terms = original(batch, clock)
        counts.append(method.decisions.clone())
        return {name: value for name, value in terms.items() if not (still and name.startswith("peer_a"))}

    method.losses = watching  # type: ignore[method-assign]
    trainer = Trainer(optimizers=study.config.training.optimizer, progress=False)
    trainer.fit(method, feed, epochs=3, name=None)
    last = counts[-1] - counts[2 * len(counts) // 3]
    return (counts[-1][1] / counts[-1].sum()).item(), (last[1] / last.sum()).item()


@pytest.mark.slow
@pytest.mark.parametrize("roles", ["sigma/mu", "fisher"])
def test_both_assign_while_both_learn_and_the_learner_assigns_beside_a_random_network(roles: str) -> None:
    whole, _ = fraction_of_second(roles, 0, still=False)
    _, last = fraction_of_second(roles, 0, still=True)
    print(f"{roles}: b assigns {whole:.3f} while both learn, {last:.3f} in the end beside a random network")
    assert 0.05 < whole < 0.95 and last >= 0.8
