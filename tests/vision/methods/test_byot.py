"""BYOT: its terms, which parts of the network they train, and the network without its exits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.engine import OptimizerSpec, Trainer
from mulde.vision.methods import byot
from mulde.vision.methods.byot import BYOT, Config
from mulde.vision.methods.supervised import Supervised
from mulde.vision.models.exits import ExitNetwork
from mulde.vision.training.options import Training
from mulde.vision.training.sd_dropout import SDDropoutTerm
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "cnn-4-5-6", "training": Training(1, 12, "none")}
WEIGHTS: dict[str, Any] = {"alpha": 0.3, "deepest_alpha": 0.2, "hint_weight": 0.5, "temperature": 2.0}


def made(**changes: Any) -> tuple[BYOT, Any]:
    return toys.built(byot, Config(**{**SMALL, **WEIGHTS, **changes}), toys.toy_split())


def losses(method: BYOT) -> dict[str, Tensor]:
    method.train()
    return method.losses(toys.batch(), toys.BEGINNING)


@pytest.mark.parametrize("shift", [0, 1])
def test_terms_equal_numpy(shift: int) -> None:
    method, batch = made(shuffled=bool(shift))[0].double(), toys.batch()
    images, labels = batch.images.double(), batch.labels.numpy()
    found = method.losses(type(batch)(images, batch.labels, batch.index), toys.BEGINNING)
    own = method.student(images)
    *shallow, deepest = [
        (x.features.detach().numpy(), x.logits.detach().numpy())
        for x in ExitNetwork(method.student, method.heads).exits(images)
    ]
    expected = {"shallow": 0.0, "soft": 0.0, "hint": 0.0}
    target, there = (np.roll(x, shift, 0) for x in (deepest[1], deepest[0]))
    for features, logits in shallow:
        expected["shallow"] -= 0.7 * np.log(restated.softmax(logits)[range(12), labels]).mean()
        rows = [
            restated.kl(p, q) for p, q in zip(restated.softmax(target / 2), restated.softmax(logits / 2), strict=True)
        ]
        expected["soft"] += 0.3 * 4 * np.mean(rows)
        expected["hint"] += 0.5 * ((features - there) ** 2).sum(1).mean()
    expected["hard"] = -0.8 * np.log(restated.softmax(own.logits.detach().numpy())[range(12), labels]).mean()
    assert len(shallow) == 2
    assert {name: found[f"student/{name}"].item() for name in expected} == pytest.approx(expected, rel=1e-9)


def test_the_deepest_exit_is_trained_by_labels_only() -> None:
    method = made()[0]
    found = losses(method)
    deepest = [*method.student.stages[-1].parameters(), *method.student.classifier.parameters()]
    first = next(method.student.parameters())
    for name in ("shallow", "soft", "hint"):
        gradients = torch.autograd.grad(
            found[f"student/{name}"], [first, *deepest], retain_graph=True, allow_unused=True
        )
        assert gradients[0] is not None and gradients[0].abs().sum() > 0
        assert all(gradient is None for gradient in gradients[1:])


def test_at_alpha_1_no_label_reaches_the_shallow_exits() -> None:
    assert set(losses(made(alpha=1.0)[0])) == {"student/hard", "student/soft", "student/hint"}
    assert set(losses(made(alpha=0.0, hint_weight=0.0)[0])) == {"student/hard", "student/shallow"}


def test_without_exits_it_is_plain_training_bit_for_bit() -> None:
    (method, feed), baseline = made(exits=False, deepest_alpha=0.0), Supervised(made()[0].student)
    for one in (method, baseline):
        Trainer(optimizers=OptimizerSpec("sgd", 0.05), progress=False).fit(one, feed, epochs=2, name=None)
    assert all(map(torch.equal, method.student.state_dict().values(), baseline.network.state_dict().values()))


def test_with_sd_dropout_there_is_one_pass_through_the_network() -> None:
    method, feed = made()
    seen = []
    term = SDDropoutTerm(0.1)
    add = term.losses
    term.losses = lambda batch, clock: seen.append(found := add(batch, clock)) or found  # type: ignore[method-assign]
    record = Trainer(progress=False, callbacks=[term]).fit(method, feed, epochs=1, name=None)
    assert record.cost["forwards"] == {"student": record.steps, "heads": record.steps}
    assert len(seen) == record.steps and all(found["student/sd_dropout"] > 0 for found in seen)


def test_metrics_of_exits() -> None:
    method, _ = made()
    student, exits = method.exported().values()
    trained = byot.Trained(student, "classify", {"exits": exits})
    found = byot.metrics(method.config, toys.toy_split(), trained)
    assert found["accuracy"] == found["exit_3"] and set(found) >= {"exit_1", "exit_2", "exits_mean", "agreement"}
