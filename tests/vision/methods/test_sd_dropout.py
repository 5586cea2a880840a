"""SD-Dropout: its two terms, one pass through the backbone, and its form without the divergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mulde.engine import OptimizerSpec, Trainer
from mulde.vision.methods import sd_dropout
from mulde.vision.methods.sd_dropout import Config, SDDropout
from mulde.vision.methods.supervised import Supervised
from mulde.vision.training.options import Training
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "cnn-4-6", "training": Training(2, 12, "none")}


def made(**changes: Any) -> tuple[SDDropout, Any]:
    return toys.built(sd_dropout, Config(**{**SMALL, **changes}), toys.toy_split())


def test_terms_equal_numpy() -> None:
    method, batch = made(soft_weight=0.7, rate=0.3, temperature=2.0)[0].double(), toys.batch()
    images = batch.images.double()
    torch.manual_seed(5)
    found = method.losses(type(batch)(images, batch.labels, batch.index), toys.BEGINNING)
    with torch.no_grad():
        own = method.student(images)
        torch.manual_seed(5)
        dropped = [functional.dropout(own.pooled, 0.3).numpy() for _ in range(2)]
    weight, bias = (x.detach().numpy() for x in method.student.classifier.parameters())
    p, q = (restated.softmax((x @ weight.T + bias) / 2) for x in dropped)
    pairs = [restated.kl(a, b) + restated.kl(b, a) for a, b in zip(p, q, strict=True)]
    assert found["student/sd_dropout"].item() == pytest.approx(0.7 * 4 * sum(pairs) / 12, rel=1e-9)
    true = restated.softmax(own.pooled.numpy() @ weight.T + bias)[range(12), batch.labels]
    assert found["student/hard"].item() == pytest.approx(-np.log(true).mean(), rel=1e-9)


def test_one_pass_through_the_network() -> None:
    method, feed = made()
    record = Trainer(progress=False).fit(method, feed, epochs=1, name=None)
    assert record.cost["forwards"] == {"student": record.steps}


def test_without_divergence_it_is_plain_training_bit_for_bit() -> None:
    (method, feed), baseline = made(soft_weight=0.0), Supervised(made()[0].student)
    for one in (method, baseline):
        Trainer(optimizers=OptimizerSpec("sgd", 0.05), progress=False).fit(one, feed, epochs=2, name=None)
    assert all(map(torch.equal, method.student.state_dict().values(), baseline.network.state_dict().values()))


def test_the_control_is_ordinary_dropout_at_the_same_place() -> None:
    method, _ = made(soft_weight=0.0, dropped_labels=True)
    batch = toys.batch()
    torch.manual_seed(5)
    found = method.losses(batch, toys.BEGINNING)
    torch.manual_seed(5)
    own = method.student(batch.images)
    expected = functional.cross_entropy(method.student.classifier(functional.dropout(own.pooled, 0.5)), batch.labels)
    assert set(found) == {"student/hard"} and torch.equal(found["student/hard"], expected)


def test_divergence_of_two_samples() -> None:
    network, images = made()[0].student, toys.toy_split().test
    found = sd_dropout.divergence(network, images, 0.5, 2.0)
    assert found == sd_dropout.divergence(network, images, 0.5, 2.0) > 0
    assert sd_dropout.divergence(network, images, 0.0, 2.0) == 0
