"""SD-Dropout as an addition to other methods."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from mulde.engine import Trainer
from mulde.errors import UsageError
from mulde.losses.dropout import dropout_distillation
from mulde.vision.methods import byot, dcm, kd, supervised
from mulde.vision.models import Adapted
from mulde.vision.models.classifiers import classifier_of
from mulde.vision.training.options import Training
from mulde.vision.training.run import run_method
from mulde.vision.training.sd_dropout import SDDropoutOptions, SDDropoutTerm
from mulde.vision.training.session import Session
from tests.vision import toys

TRAINING = Training(1, 12, "none", sd_dropout=SDDropoutOptions(sd_dropout_weight=0.5, sd_dropout_temperature=2.0))
METHODS: list[tuple[ModuleType, dict[str, Any], str]] = [
    (supervised, {"student": "cnn-4-6"}, "network"),
    (kd, {"student": "cnn-4-6", "teacher": ("cnn-4-6",)}, "student"),
    (byot, {"student": "cnn-4-6"}, "student"),
    (dcm, {"student": "cnn-4-6", "partner": "cnn-3-4"}, "peer_a"),
]


def test_off_by_default() -> None:
    assert Training().additions_for_trainer()["callbacks"] == []
    assert TRAINING.additions_for_trainer()["callbacks"] == [SDDropoutTerm(0.5, 0.5, 2.0, False)]


@pytest.mark.parametrize(("module", "options", "learner"), METHODS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_further_term_without_a_further_pass(module: ModuleType, options: dict[str, Any], learner: str) -> None:
    method, feed = toys.built(module, module.Config(**options, training=TRAINING), toys.toy_split())
    student, seen = next(iter(method.exported().values())), []
    callback = SDDropoutTerm(0.5, temperature=2.0)
    losses = callback.losses

    def compared(batch: Any, clock: Any) -> Any:
        features, state = callback._inputs[0], torch.get_rng_state()
        found = losses(batch, clock)
        torch.set_rng_state(state)
        expected = 0.5 * dropout_distillation(features, student.classifier, 0.5, 2.0)
        seen.append((features.requires_grad, torch.equal(found[f"{learner}/sd_dropout"], expected)))
        return found

    callback.losses = compared  # type: ignore[method-assign]
    record = Trainer(progress=False, callbacks=[callback]).fit(method, feed, epochs=1, name=None)
    assert seen == [(True, True)] * record.steps
    assert set(record.cost["forwards"].values()) == {record.steps}
    assert not student.classifier._forward_pre_hooks, "the hook was left behind"


def test_the_option_reaches_the_fit_of_a_session() -> None:
    config = kd.Config(student="cnn-4-6", teacher=("cnn-4-6",), training=TRAINING)
    off = replace(config, training=replace(TRAINING, sd_dropout=SDDropoutOptions()))
    weights = [run_method(kd, one, toys.toy_split(), Session()).student.state_dict() for one in (config, off)]
    assert not torch.equal(*(one["classifier.weight"] for one in weights))


def test_networks_of_the_user_and_networks_without_classifier() -> None:
    last = nn.Linear(3, 2)
    assert classifier_of(Adapted(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), last))) is last
    with pytest.raises(UsageError, match="ReLU has no linear classifier, whose input is needed"):
        classifier_of(nn.ReLU())


class Unused(supervised.Supervised):
    """Does not compute the classifier."""

    def losses(self, batch: Any, clock: Any) -> dict[str, torch.Tensor]:
        return {"network/other": sum(p.square().sum() for p in self.network.parameters())}


def test_a_method_that_does_not_compute_the_classifier_is_refused() -> None:
    method, feed = toys.built(supervised, supervised.Config(student="cnn-4-6", training=TRAINING), toys.toy_split())
    with pytest.raises(UsageError, match="SD-Dropout needs the input of the student's classifier"):
        Trainer(progress=False, callbacks=[SDDropoutTerm(1.0)]).fit(Unused(method.network), feed, epochs=1, name=None)
