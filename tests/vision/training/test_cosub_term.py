"""cosub as an addition to other methods, such as DeiT."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from mulde.engine import Trainer
from mulde.errors import UsageError
from mulde.losses.mutual import mutual_distillation
from mulde.vision.methods import deit, kd, simclrv2, supervised
from mulde.vision.models.stochastic_depth import residual_blocks
from mulde.vision.training.cosub import CosubOptions, CosubTerm
from mulde.vision.training.options import Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from tests.vision import toys

TRAINING = Training(1, 12, "none", cosub=CosubOptions(cosub_weight=0.5, cosub_rate=0.4))
METHODS: list[tuple[ModuleType, dict[str, Any]]] = [
    (deit, {"student": "deit-8-3-2-patch4", "teacher": "cnn-4-6"}),
    (kd, {"student": "resnet14", "channels": 4, "teacher": ("cnn-4-6",)}),
]


def made(module: ModuleType, **options: Any) -> tuple[Any, Any]:
    return toys.built(module, module.Config(**options, training=TRAINING), toys.toy_split())


@pytest.mark.parametrize(("module", "options"), METHODS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_second_pass_of_the_same_images(module: ModuleType, options: dict[str, Any]) -> None:
    method, feed = made(module, **options)
    student, seen = method.student, list[Any]()
    term = CosubTerm(0.5, 0.4)
    losses = term.losses

    def compared(batch: Any, clock: Any) -> Any:
        (images, first), state = term._passes[0], torch.get_rng_state()
        found = losses(batch, clock)["student/cosub"]
        torch.set_rng_state(state)
        second = student(images).logits
        expected = 0.25 * mutual_distillation(first, second, "ce")
        differ = (first != second).any(1).double().mean() > 0.5
        seen.append((torch.equal(images, batch.images), bool(differ), torch.equal(found, expected)))
        return {"student/cosub": found}

    term.losses = compared  # type: ignore[method-assign]
    Trainer(progress=False, callbacks=[term]).fit(method, [next(iter(feed))], epochs=1, name=None)
    assert seen == [(True, True, True)]
    assert not student._forward_hooks, "the hook was left behind"
    assert not any("forward" in vars(block) for block in residual_blocks(student)), "blocks are still skipped"


def test_the_option_reaches_the_fit_of_a_session() -> None:
    module, options = METHODS[0]
    config = module.Config(**options, training=TRAINING)
    off = replace(config, training=replace(TRAINING, cosub=CosubOptions()))
    networks = [run_method(module, one, toys.toy_split(), Session()).student for one in (config, off)]
    first, second = (list(one.parameters()) for one in networks)
    assert not all(map(torch.equal, first, second))


def test_what_cannot_be_combined_is_refused() -> None:
    method, feed = made(supervised, student="cnn-4-6")
    with pytest.raises(UsageError, match="choose a residual network or a transformer, for example resnet20"):
        Trainer(progress=False, callbacks=[CosubTerm(1.0)]).fit(method, feed, epochs=1, name=None)
    method, feed = made(simclrv2, student="resnet8", teacher="resnet8", channels=4)
    method.losses = lambda batch, clock: {"student/other": sum(p.square().sum() for p in method.student.parameters())}
    with pytest.raises(UsageError, match="cosub needs the logits of the student, and the losses of this method"):
        Trainer(progress=False, callbacks=[CosubTerm(1.0)]).fit(method, feed, epochs=1, name=None)
