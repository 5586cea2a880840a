"""FFSD: weight schedules, the shifted target, every term by hand, and the gradients of each learner."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mulde.engine import Clock, OptimizerSpec, Trainer
from mulde.losses.features import attention_distance, attention_map
from mulde.vision.methods import ffsd
from mulde.vision.methods.ffsd import FFSD, Config, shifted, shifted_attention
from mulde.vision.methods.supervised import Supervised
from mulde.vision.models.fusion import Upsampler
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

PEER = "cnn-4-6-8"
SMALL: dict[str, Any] = {"student": PEER, "peer": (PEER, PEER), "training": Training(2, 12, "none")}
LATER = Clock(step=99, epoch=9, epochs=10, progress=0.95)


def made(**changes: Any) -> FFSD:
    return toys.built(ffsd, Config(**{**SMALL, **changes}), toys.toy_split())[0]


def test_fully_connected_networks() -> None:
    assert "leader/fusion" in made(student="mlp-16-12", peer=("mlp-16-12",) * 2).losses(toys.batch(), LATER)
    with pytest.raises(ValueError, match="FFSD rebuilds shallow stages from the deepest; got networks of 1 stage"):
        made(student="mlp-16", peer=("mlp-16",) * 2)


def test_ramp_of_the_first_six_epochs() -> None:
    factors = [made().schedule(Clock(0, epoch, 20, epoch / 20)) for epoch in range(6)]
    assert factors == pytest.approx([math.exp(-x) for x in (3.2, 1.8, 0.8, 0.2, 0, 0)])


def test_shifted_target_of_a_map_of_nine() -> None:
    """The lowest third is .05, .1, .15; θ = .15 gets half the length; what is above becomes r - q."""
    q = torch.tensor([[0.3, 0.05, 0.2, 0.6, 0.1, 0.5, 0.15, 0.4, 0.25]])
    expected = [1.7, 0.05, 1.8, 1.4, 0.1, 1.5, 1.0, 1.6, 1.75]
    assert shifted_attention(q, torch.tensor([[2.0]]))[0].tolist() == pytest.approx(expected)


def test_shifted_feature_map() -> None:
    """F + (r / C)(t - q), the same change for all channels."""
    features = restated.drawn(2, 3, 3, 3, seed=1)
    target, moved = shifted(features)
    for i, image in enumerate(features.numpy()):
        energy = (image**2).mean(0).ravel()
        r = np.sqrt((energy**2).sum())
        q = energy / r
        theta = np.sort(q)[2]
        t = np.where(q > theta, r - q, np.where(q < theta, q, r / 2))
        assert target[i].numpy() == pytest.approx(t, rel=1e-10)
        assert moved[i].numpy() == pytest.approx(image + (r / 3 * (t - q)).reshape(1, 3, 3), rel=1e-9)
    unit, _ = shifted(features, normalised=True)
    assert unit.norm(dim=1).tolist() == pytest.approx([1, 1])


def test_every_term_equals_numpy() -> None:
    method, batch, t = made(), toys.batch(), 2.0
    method.train()
    found = {name: value.item() for name, value in method.losses(batch, LATER).items()}
    with torch.no_grad():
        nets = {**method.networks, "leader": method.leader}
        outputs = {name: net(batch.images) for name, net in nets.items()}
        deepest = [outputs[name].stages[-1] for name in method.names]
        fused, fused_logits = method.fusion(deepest)
        inverse = method.inverse_fusion(outputs["leader"].stages[-1])
        elsewhere, moved = shifted(deepest[0])
        rebuilt = {
            name: module(outputs[name].stages[-1], [(8, 8), (4, 4)]) for name, module in method.upsamplers.items()
        }
    new = made()  # updated running statistics of the upsamplers would show in eval mode
    new_targets = {
        name: new.upsamplers[name].eval()(source, [(8, 8), (4, 4)])
        for name, source in (("student_1", moved), ("leader", fused))
    }
    labels = batch.labels.numpy()
    z = {name: output.logits.double().numpy() for name, output in outputs.items()}
    z["fusion"] = fused_logits.double().numpy()

    def hard(logits: Any) -> float:
        return float(-np.log(restated.softmax(logits)[np.arange(12), labels]).mean())

    def soft(target: Any, own: Any) -> float:
        p, q = restated.softmax(target / t), restated.softmax(own / t)
        return t**2 * float(np.mean([restated.kl(a, b) for a, b in zip(p, q, strict=True)]))

    def attention(x: Any) -> Any:
        return np.array([restated.attention(image, 2.0) for image in x.detach().double().numpy()])

    def unit(x: Any) -> Any:
        flat = x.detach().double().numpy().reshape(12, -1)
        return flat / np.sqrt((flat**2).sum(1, keepdims=True))

    def d_att(a: Any, b: Any) -> float:
        return float(((attention(a) - attention(b)) ** 2).mean())

    def own_distance(name: str, targets: Any) -> float:
        return sum(d_att(a, b) for a, b in zip(outputs[name].stages[:-1], targets[name], strict=True))

    def rebuilding(name: str) -> float:
        pairs = list(zip(rebuilt[name], outputs[name].stages[:-1], strict=True))
        return 1000 * sum(float(((unit(a) - unit(b)) ** 2).mean()) + d_att(a, b) for a, b in pairs)

    diversity = float(((attention(outputs["student_1"].stages[-1]) - elsewhere.double().numpy()) ** 2).mean())
    expected = {
        "student_0/hard": hard(z["student_0"]),
        "student_0/peers": soft(z["student_1"], z["student_0"]),
        "student_1/hard": hard(z["student_1"]),
        "student_1/peers": soft(z["student_0"], z["student_1"]),
        "student_1/diversity": 1e-5 * diversity,
        "student_1/self": 1e-5 * own_distance("student_1", new_targets),
        "fusion/hard": hard(z["fusion"]),
        "fusion/students": soft((z["student_0"] + z["student_1"]) / 2, z["fusion"]),
        "leader/hard": hard(z["leader"]),
        "leader/fusion": soft(z["fusion"], z["leader"]),
        "leader/fused_map": 10 * d_att(outputs["leader"].stages[-1], fused),
        "leader/inverse": 10 * d_att(inverse, torch.cat(deepest, 1)),
        "leader/self": 10 * own_distance("leader", new_targets),
        "upsampler_student_1/rebuilding": rebuilding("student_1"),
        "upsampler_leader/rebuilding": rebuilding("leader"),
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_three_students_are_a_chain_and_average_their_peers() -> None:
    method = made(peer=(PEER,) * 3)
    found = method.losses(toys.batch(), LATER)
    assert "student_0/diversity" not in found and "student_2/diversity" in found
    with torch.no_grad():
        logits = [net(toys.batch().images).logits for net in method.networks.values()]
    p, *others = ((x / 2).log_softmax(1) for x in (logits[2], logits[0], logits[1]))
    expected = 4 * sum(functional.kl_div(p, q, reduction="batchmean", log_target=True) for q in others) / 2
    assert found["student_2/peers"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("term", ["fusion/hard", "fusion/students"])
def test_fusion_sends_no_gradient_to_students(term: str) -> None:
    method = made()
    loss = method.losses(toys.batch(), LATER)[term]
    students = list(method.networks.parameters())
    assert all(g is None for g in torch.autograd.grad(loss, students, allow_unused=True))


@pytest.mark.parametrize("size", [7, 8, 14, 15])
def test_upsampler_meets_every_size(size: int) -> None:
    sizes = [(size, size), (-(-size // 2),) * 2]
    rebuilt = Upsampler([4, 6, 8])(torch.randn(2, 8, -(-size // 4), -(-size // 4)), sizes)
    assert [x.shape for x in rebuilt] == [(2, 4, *sizes[0]), (2, 6, *sizes[1])]


def test_upsamplers_learn_to_rebuild() -> None:
    """Held-out images: the distance of the rebuilt maps falls by more than half while the method trains."""
    method, feed = toys.built(ffsd, Config(**SMALL), toys.toy_split())
    held_out = toys.toy_split().test

    def distance() -> float:
        method.eval()
        with torch.no_grad():
            own = method.leader(held_out.images).stages
            rebuilt = method.upsamplers["leader"](own[-1], [stage.shape[2:] for stage in own[:-1]])
            pairs = zip(rebuilt, own[:-1], strict=True)
            return sum(attention_distance(a, b).item() for a, b in pairs)

    before = distance()
    optimizers = {name: OptimizerSpec("adam", 1e-2 if name.startswith("up") else 1e-3) for name in method.learners()}
    Trainer(optimizers=optimizers, progress=False).fit(method, feed, epochs=8, name=None)
    assert distance() < before / 2


def test_diversity_makes_students_look_elsewhere() -> None:
    def cosine(weight: float) -> float:
        config = Config(diversity_weight=weight, normalised_diversity=True, weight_warmup_epochs=1, **SMALL)
        method, feed = toys.built(ffsd, config, toys.toy_split())
        Trainer(optimizers=OptimizerSpec("adam", 3e-3), progress=False).fit(method, feed, epochs=6, name=None)
        method.eval()
        images = toys.toy_split().test.pixels()
        with torch.no_grad():
            maps = [attention_map(net(images).stages[-1]) for net in method.networks.values()]
        return (maps[0] * maps[1]).sum(1).mean().item()

    assert cosine(100.0) < cosine(0.0) - 0.05


def test_without_all_terms_the_leader_is_trained_alone_bit_for_bit() -> None:
    config = Config(**ffsd.BASELINE, **SMALL)
    method, feed = toys.built(ffsd, config, toys.toy_split())
    baseline = Supervised(toys.built(ffsd, config, toys.toy_split())[0].leader)
    for each in (method, baseline):
        Trainer(optimizers=OptimizerSpec("sgd", 0.05, momentum=0.9), progress=False).fit(
            each, feed, epochs=2, name=None
        )
    assert all(map(torch.equal, method.leader.state_dict().values(), baseline.network.state_dict().values()))


def test_upsamplers_have_the_authors_optimiser_which_falls_with_the_networks() -> None:
    config, split = Config(student=PEER, peer=(PEER, PEER)), toys.toy_split()
    found: Any = ffsd.build(config, split, ffsd.networks(config, split, {})).optimizers
    upsampler, leader = found["upsampler_leader"], found["leader"]
    assert (upsampler.optimizer, upsampler.lr, upsampler.weight_decay) == ("adam", 1e-3, 1e-4)
    moments = [Clock(0, epoch, 300, epoch / 300) for epoch in (149, 150, 225)]
    assert (
        [upsampler.rate(at) for at in moments] == [leader.rate(at) for at in moments] == pytest.approx([1, 0.1, 0.01])
    )


def test_one_student_is_no_fusion() -> None:
    with pytest.raises(ValueError, match="FFSD fuses at least 2 students; got 1"):
        made(peer=(PEER,))
