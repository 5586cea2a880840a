"""KD with each of its losses, its reductions, and the class that is missing in the student's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from mulde.engine import Clock, Method, OptimizerSpec, Trainer
from mulde.losses import correlation, features, soft_labels
from mulde.vision.methods import kd
from mulde.vision.methods.kd import KD, SOFT, USUAL, Config, Soft
from mulde.vision.methods.supervised import Supervised
from mulde.vision.training.options import Training
from mulde.vision.training.session import Session
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "cnn-4-6", "teacher": ("cnn-8-10",), "training": Training(2, 12, "none")}
LATER = Clock(step=99, epoch=30, epochs=40, progress=0.75)


def made(**changes: Any) -> KD:
    return toys.built(kd, Config(**{**SMALL, **changes}), toys.toy_split())[0]


@pytest.mark.parametrize("soft", SOFT)
def test_terms_are_weighted_losses_of_student_and_teacher(soft: Soft) -> None:
    method, batch = made(soft=soft, hard_weight=0.5, soft_weight=3.0, temperature=2.0, beta=5.0), toys.batch()
    method.eval()
    found = method.losses(batch, LATER)
    with torch.no_grad():
        own, theirs = method.student(batch.images), method.teacher(batch.images)
        pair = (theirs.logits, own.logits)
        expected = {
            "kd": lambda: soft_labels.soft_kl(*pair, 2.0),
            "dkd": lambda: (
                soft_labels.target_class_kl(*pair, batch.labels, 2.0)
                + 5 * soft_labels.not_true_kl(*pair, batch.labels, 2.0)
            ),
            "dist": lambda: correlation.dist(*pair, 2.0),
            "standardised": lambda: soft_labels.soft_kl(*map(correlation.standardised, pair), 2.0),
            "fitnet": lambda: features.hint(method.adapter(own.stages[1]), theirs.stages[1]),
            "at": lambda: features.attention_transfer(own.stages, theirs.stages),
            "rkd": lambda: (
                25 * features.relational_distance(own.pooled, theirs.pooled)
                + 50 * features.relational_angle(own.pooled, theirs.pooled)
            ),
            "similarity": lambda: features.similarity_preserving(own.stages[-1], theirs.stages[-1]),
        }[soft]()
        hard = functional.cross_entropy(own.logits, batch.labels)
    torch.testing.assert_close(found["student/soft"].detach(), 3 * expected)
    torch.testing.assert_close(found["student/hard"].detach(), 0.5 * hard)


def test_the_default_pair_has_its_own_beta() -> None:
    config = Config(soft="dkd")
    assert (config.teacher, config.student, config.beta) == (("resnet56",), "resnet20", 2.0)


def test_dkd_warms_up_over_twenty_epochs() -> None:
    method, batch = made(soft="dkd"), toys.batch()
    method.eval()
    values = [
        method.losses(batch, Clock(0, epoch, 240, epoch / 240))["student/soft"].item() for epoch in (0, 9, 19, 99)
    ]
    assert [value / values[-1] for value in values] == pytest.approx([0.05, 0.5, 1, 1])


@pytest.mark.parametrize("soft", SOFT)
def test_usual_values_hold_where_none_are_given(soft: Soft) -> None:
    method = made(soft=soft)
    assert (method.hard_weight, method.soft_weight, method.temperature) == USUAL[soft][:3]


def test_the_teacher_gets_no_gradient_and_stays_in_eval() -> None:
    method = made()
    method.train()
    loss = sum(method.losses(toys.batch(), LATER).values())
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert not any(module.training for module in method.teacher.modules())


def trained(method: Method, feed: Any) -> None:
    Trainer(optimizers=OptimizerSpec("sgd", 0.05, momentum=0.9), progress=False).fit(method, feed, epochs=2, name=None)


@pytest.mark.parametrize("soft", ["kd", "fitnet"])
def test_without_soft_loss_it_is_plain_training_bit_for_bit(soft: Soft) -> None:
    method, feed = toys.built(kd, Config(soft=soft, soft_weight=0.0, hard_weight=1.0, **SMALL), toys.toy_split())
    baseline = Supervised(made().student)
    trained(method, feed)
    trained(baseline, feed)
    assert all(map(torch.equal, method.student.state_dict().values(), baseline.network.state_dict().values()))


def test_the_missing_class_is_never_delivered() -> None:
    _, feed = toys.built(kd, Config(missing=3, **SMALL), toys.toy_split())
    seen = torch.cat([batch.labels for batch in feed])
    assert set(seen.tolist()) == set(range(8)) - {3}


def test_a_teacher_is_trained_once_for_all_variants_and_only_where_it_is_used(tmp_path: Path) -> None:
    def run(variant: str, **changes: Any) -> dict[str, float]:
        session = Session(0, tmp_path / variant, tmp_path / "common")
        return toys.metrics(kd, Config(**SMALL, **changes), toys.toy_split(), session)

    assert set(run("baseline", hard_weight=1.0, soft_weight=0.0)) == {"accuracy"}
    assert not (tmp_path / "common").exists()
    method = run("method")
    written = (tmp_path / "common/teacher/record.json").stat().st_mtime_ns
    assert run("control", shuffled=True)["teacher"] == method["teacher"]
    assert (tmp_path / "common/teacher/record.json").stat().st_mtime_ns == written
    assert sorted(place.parts[-2:] for place in tmp_path.glob("*/*")) == [
        ("baseline", "fit"),
        ("common", "teacher"),
        ("control", "fit"),
        ("method", "fit"),
    ]
    assert method == toys.metrics(kd, Config(**SMALL), toys.toy_split(), Session(0))


@pytest.mark.thorough
@pytest.mark.parametrize("seeds", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_missing_digit_transfer(seeds: int) -> None:
    """A student trained without the digit 3 learns it from its teacher; with hard labels its recall is zero."""
    pytest.importorskip("sklearn")
    study = kd.STUDY.shortened(0.5 if seeds == 1 else 1.0)
    recall: dict[str, list[float]] = {"baseline": [], "method": [], "control": []}
    for seed in range(seeds):
        split = study.split(seed)
        for variant, found in recall.items():
            found.append(toys.metrics(kd, study.variant(variant), split, Session(seed=seed))["missing_recall"])
    assert recall["baseline"] == [0.0] * seeds
    assert sum(recall["method"]) / seeds >= 0.5 > 0.25 > sum(recall["control"]) / seeds
