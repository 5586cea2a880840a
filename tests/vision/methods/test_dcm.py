"""DCM: its 6 hard and 18 soft terms, and its form without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mulde.engine import Method, OptimizerSpec, Trainer
from mulde.vision.methods import dcm
from mulde.vision.methods.dcm import DCM, Config
from mulde.vision.methods.supervised import Supervised
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "cnn-4-6-8", "partner": "cnn-3-4-5", "training": Training(2, 12, "none")}


def made(**changes: Any) -> DCM:
    return toys.built(dcm, Config(**{**SMALL, **changes}), toys.toy_split())[0]


def answers(method: DCM) -> tuple[list[Any], list[Any]]:
    """Logits of all heads in train mode, as in the loss; float64."""
    method.train()
    images = toys.batch().images
    a, b = ([x.detach().double().numpy() for x in peer(images)] for peer in (method.peer_a, method.peer_b))
    return a, b


def test_six_hard_and_eighteen_soft_terms_equal_numpy() -> None:
    """Weights 1, 2 and 3 distinguish the groups; ε = 1e-3 shows that both sides are smoothed."""
    method = made(auxiliary_weight=1.0, same_weight=2.0, cross_weight=3.0, smoothing=1e-3)
    found = method.losses(toys.batch(), toys.BEGINNING)
    labels = toys.batch().labels.numpy()
    counted = {"hard": 0, "soft": 0}
    for me, own, other in zip(("peer_a", "peer_b"), answers(method), reversed(answers(method)), strict=True):
        expected = {"hard": 0.0, "auxiliary": 0.0, "same": 0.0, "cross": 0.0}
        for k, logits in enumerate(own):
            p = restated.softmax(logits)
            expected["hard" if k == 2 else "auxiliary"] += -np.log(p[np.arange(12), labels]).mean()
            counted["hard"] += 1
            for j, received in enumerate(other):
                smooth = [(restated.softmax(z) + 1e-3) / (1 + 8e-3) for z in (received, logits)]
                value = np.mean([restated.kl(a, b) for a, b in zip(*smooth, strict=True)])
                expected["same" if k == j else "cross"] += (2 if k == j else 3) * value
                counted["soft"] += 1
        assert {term: found[f"{me}/{term}"].item() for term in expected} == pytest.approx(expected, rel=1e-5)
    assert counted == {"hard": 6, "soft": 18} and len(found) == 8


def test_counts_of_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"soft": 0, "hard": 0}
    soft, hard = dcm.smoothed_kl, functional.cross_entropy

    def counting(kind: str, function: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            calls[kind] += 1
            return function(*arguments)

        return counted

    monkeypatch.setattr(dcm, "smoothed_kl", counting("soft", soft))
    monkeypatch.setattr(dcm.functional, "cross_entropy", counting("hard", hard))
    made().losses(toys.batch(), toys.BEGINNING)
    assert calls == {"hard": 6, "soft": 18}
    calls.update(hard=0, soft=0)
    made(heads=False).losses(toys.batch(), toys.BEGINNING)  # DML
    assert calls == {"hard": 2, "soft": 2}


@pytest.mark.parametrize("term", ["same", "cross"])
def test_transfer_reaches_the_trunk_of_the_receiver_alone(term: str) -> None:
    method = made()
    loss = method.losses(toys.batch(), toys.BEGINNING)[f"peer_a/{term}"]
    first = next(method.peer_a.network.parameters())
    received = torch.autograd.grad(loss, [first, *method.peer_b.parameters()], allow_unused=True)
    assert received[0] is not None and received[0].abs().sum() > 0
    assert all(gradient is None for gradient in received[1:])


def trained(method: Method, feed: Any) -> None:
    optimizer = OptimizerSpec("sgd", 0.05, momentum=0.9)
    Trainer(optimizers=optimizer, progress=False).fit(method, feed, epochs=2, name=None)


def test_baseline_is_plain_training_of_both_bit_for_bit() -> None:
    config = Config(heads=False, **dcm.BASELINE, **SMALL)
    method, feed = toys.built(dcm, config, toys.toy_split())
    baseline, _ = toys.built(dcm, config, toys.toy_split())
    trained(method, feed)
    for peer, together in ((baseline.peer_a, method.peer_a), (baseline.peer_b, method.peer_b)):
        trained(Supervised(peer.network), feed)
        first, second = (x.network.state_dict().values() for x in (peer, together))
        assert all(map(torch.equal, first, second))


def test_peers_begin_alike_in_all_variants() -> None:
    """Pairing: neither heads nor the partner change the first weights of a peer."""
    first, second = made(), made(heads=False, partner="cnn-4-6-8")
    ours, theirs = (x.peer_a.network.state_dict().values() for x in (first, second))
    assert all(map(torch.equal, ours, theirs))
    assert not torch.equal(
        made(partner="cnn-4-6-8").peer_b.network.stem[0].weight, second.peer_a.network.stem[0].weight
    )


def test_control_hands_over_the_answers_to_other_images() -> None:
    honest, shuffled = (made(shuffled=flag).losses(toys.batch(), toys.BEGINNING) for flag in (False, True))
    assert torch.equal(honest["peer_a/hard"], shuffled["peer_a/hard"])
    assert not torch.equal(honest["peer_a/same"], shuffled["peer_a/same"])


@pytest.mark.parametrize(("name", "heads"), [("vgg11", False), ("cifar-resnet18", None), ("mlp-16", None)])
def test_without_heads_every_network_is_a_peer(name: str, heads: bool | None) -> None:
    found = made(student=name, partner=name, heads=heads).losses(toys.batch(), toys.BEGINNING)
    assert set(found) == {"peer_a/hard", "peer_a/same", "peer_b/hard", "peer_b/same"}
    with pytest.raises(ValueError, match=f'auxiliary heads are known for networks such as .*; got "{name}"; choose'):
        made(student=name, heads=True)


def test_different_numbers_of_heads() -> None:
    with pytest.raises(ValueError) as error:
        made(partner="cnn-4-6")
    assert str(error.value) == (
        "DCM pairs heads stage by stage; got 2 auxiliary heads and 1; choose networks with as many stages"
    )
