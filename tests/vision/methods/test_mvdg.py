"""MVDG: trajectories over domains, and their mean displacement."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from mulde.engine import OptimizerSpec, Trainer
from mulde.errors import UsageError
from mulde.vision.methods import mvdg
from mulde.vision.methods.mvdg import MVDG, Config, meta_split
from mulde.vision.training.options import OptimizerSteps, Training
from tests.vision import toys

OUTER = OptimizerSteps("sgd", 1.0)


def made(network: str = "mlp-6", **changes: Any) -> tuple[MVDG, Any]:
    config = Config(student=network, **{"training": Training(1, 12, "none", OUTER), **changes})
    return toys.built(mvdg, config, toys.data_of(mvdg))


def steps_of_adam(network: Any, parts: list[tuple[torch.Tensor, torch.Tensor]], lr: float, decay: float) -> None:
    """Adam with L2, written out."""
    moments = {p: (torch.zeros_like(p), torch.zeros_like(p)) for p in network.parameters()}
    for step, (images, labels) in enumerate(parts, 1):
        loss = functional.cross_entropy(network(images).logits, labels)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for p, gradient in zip(network.parameters(), gradients, strict=True):
                m, v = moments[p]
                g = gradient + decay * p
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p -= lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)


@pytest.mark.parametrize("trajectories", [1, 3])
def test_the_gradient_is_the_mean_displacement(trajectories: int) -> None:
    method, feed = made(trajectories=trajectories, tasks=2, inner_lr=0.01, inner_decay=0.1)
    batch = next(iter(feed))
    start = copy.deepcopy(method.network).double()
    ends = []
    torch.manual_seed(0)  # the trainer's seed
    for _ in range(trajectories):
        network, parts = copy.deepcopy(start), []
        for _ in range(2):
            both = meta_split(batch.domains, torch.default_generator)
            parts += [(batch.images[rows].double(), batch.labels[rows]) for rows in both]
        steps_of_adam(network, parts, 0.01, 0.1)
        ends.append(list(network.parameters()))
    Trainer(optimizers=OUTER, precision="64-true", progress=False).fit(method, [batch], epochs=1)
    for parameter, *each in zip(method.network.parameters(), *ends, strict=True):  # an outer rate of 1 goes to the mean
        assert torch.allclose(parameter, torch.stack(each).mean(0), atol=1e-9)


def test_an_outer_rate_scales_the_displacement() -> None:
    found = []
    for lr in (1.0, 0.25):
        method, feed = made()
        start = [p.detach().clone() for p in method.network.parameters()]
        Trainer(optimizers=OptimizerSpec("sgd", lr), progress=False).fit(method, [next(iter(feed))], epochs=1)
        found.append([p - q for p, q in zip(method.network.parameters(), start, strict=True)])
    for whole, quarter in zip(*found, strict=True):
        assert torch.allclose(quarter, whole / 4, atol=1e-6)


def test_a_task_divides_the_domains() -> None:
    domains = torch.tensor([0, 1, 2] * 4)
    generator, seen = torch.Generator().manual_seed(1), set()
    for _ in range(50):
        first, second = meta_split(domains, generator)
        inside, outside = set(domains[first].tolist()), set(domains[second].tolist())
        assert inside and outside and not inside & outside and len(first) + len(second) == 12
        seen.add(frozenset(inside))
    assert len(seen) == 6  # three of one domain, three of two


def test_statistics_are_those_of_the_weights_between_trajectories() -> None:
    method, feed = made("cnn-4-6")
    Trainer(optimizers=OUTER, progress=False).fit(method, feed, epochs=1)
    first = next(m for m in method.network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    feed.set_epoch(0)
    twin = copy.deepcopy(method.network).train()
    seen: list[torch.Tensor] = []
    layer = next(m for m in twin.modules() if isinstance(m, torch.nn.BatchNorm2d))
    layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].mean((0, 2, 3))))
    for batch in feed:
        twin(batch.images)
    assert torch.allclose(first.running_mean, torch.stack(seen).mean(0), atol=1e-5)


def test_the_baseline_descends_and_the_cost_shows() -> None:
    method, feed = made(trajectories=2, tasks=3)
    pooled, _ = made(pooled=True)
    records = [
        Trainer(optimizers=OUTER, progress=False).fit(one, [next(iter(feed))], epochs=1) for one in (method, pooled)
    ]
    assert [record.cost["backwards"] for record in records] == [1 + 2 * 3 * 2, 1]


def test_several_views_are_averaged() -> None:
    (method, feed), (single, _) = made(prediction_views=4), made(prediction_views=1)
    batch = next(iter(feed))
    single.load_state_dict(method.state_dict())
    method.eval(), single.eval()
    several, one = method.predict(batch), single.predict(batch)
    assert several.shape == one.shape and not torch.allclose(several, one)
    assert torch.equal(several, method.predict(batch)), "a prediction is repeatable"


def test_domains_are_needed() -> None:
    with pytest.raises(UsageError, match="needs training images of two domains or more; give folders DOMAIN/CLASS"):
        toys.built(mvdg, Config(student="mlp-6"), toys.toy_split())
    data = toys.data_of(mvdg)
    single = replace(data, train=data.train[data.train.domains == 1])
    with pytest.raises(UsageError, match="two domains or more"):
        toys.built(mvdg, Config(student="mlp-6"), single)
