"""Born-again networks: the loss of a generation, its diagnostics, and the order of the generations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.losses.target_transforms import permuted_others
from mulde.vision.methods import born_again
from mulde.vision.methods.born_again import BornAgain, Config
from mulde.vision.models.averaged import Averaged
from mulde.vision.storage.student import open_student
from mulde.vision.training.options import Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "cnn-4-6", "generations": 2, "training": Training(1, 24, "none")}


def made(**changes: Any) -> BornAgain:
    method: BornAgain = toys.built(born_again, Config(**{**SMALL, **changes}), toys.toy_split())[0]
    return method.double().eval()


def batch() -> Any:
    found = toys.batch()
    return type(found)(found.images.double(), found.labels, torch.full_like(found.index, -1))


def answers(method: BornAgain) -> tuple[Any, Any, Any]:
    with torch.no_grad():
        target, own = (net(batch().images).logits.numpy() for net in (method.teacher, method.student))
    return target, own, batch().labels.numpy()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_losses_equal_numpy(temperature: float) -> None:
    """KL(before ‖ after) with T², summed over classes, mean over the batch; the weights are α and 1 - α."""
    method = made(alpha=0.3, temperature=temperature)
    target, own, labels = answers(method)
    rows = [restated.kl(*(restated.softmax(z / temperature) for z in pair)) for pair in zip(target, own, strict=True)]
    hard = -np.log(restated.softmax(own)[np.arange(len(labels)), labels]).mean()
    found = {term: value.item() for term, value in method.losses(batch(), toys.BEGINNING).items()}
    assert found == pytest.approx(
        {"student/hard": 0.7 * hard, "student/soft": 0.3 * temperature**2 * np.mean(rows)}, abs=1e-9
    )


def test_the_diagnostics_equal_numpy() -> None:
    method = made(alpha=1.0, soft="cwtm")
    target, own, labels = answers(method)
    weights = restated.softmax(target).max(1)
    each = -np.log(restated.softmax(own)[np.arange(len(labels)), labels])
    found = method.losses(batch(), toys.BEGINNING)
    assert set(found) == {"student/soft"}
    assert found["student/soft"].item() == pytest.approx(float((weights * each).sum() / weights.sum()), abs=1e-9)

    method = made(alpha=1.0, soft="dkpp", temperature=2.0)
    torch.manual_seed(5)
    found = method.losses(batch(), toys.BEGINNING)
    torch.manual_seed(5)
    permuted = permuted_others(torch.from_numpy(answers(method)[0])).numpy()
    pairs = zip(permuted, own, strict=True)
    expected = 4 * np.mean([restated.kl(*(restated.softmax(z / 2) for z in pair)) for pair in pairs])
    assert found["student/soft"].item() == pytest.approx(float(expected), abs=1e-9)


def test_every_generation_is_trained_by_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = []
    init = BornAgain.__init__

    def recording(self: Any, student: Any, teacher: Any, *rest: Any) -> None:
        pairs.append((student, teacher))
        init(self, student, teacher, *rest)

    monkeypatch.setattr(BornAgain, "__init__", recording)
    trained = run_method(born_again, Config(**SMALL, independent=True), toys.toy_split(), Session(0))
    kept: dict[str, Any] = dict(trained.networks)
    first, second = kept["generation-0"], kept["generation-1"]
    assert [student for student, _ in pairs] == [second, trained.student]
    assert [teacher for _, teacher in pairs] == [first, second]
    assert list(kept) == ["generation-0", "generation-1", "ensemble", "independent-ensemble"]
    assert list(kept["ensemble"].networks) == [first, second, trained.student]
    assert len(kept["independent-ensemble"].networks) == 3
    networks: list[Any] = [first, second, trained.student]
    assert len({net.stem[0].weight.sum().item() for net in networks}) == 3


def test_without_soft_loss_only_the_student_is_trained(tmp_path: Path) -> None:
    trained = run_method(born_again, Config(**SMALL, alpha=0.0), toys.toy_split(), Session(0, tmp_path))
    assert trained.networks == {} and [place.name for place in tmp_path.iterdir()] == ["fit"]


def test_a_given_student_is_the_beginning_of_every_generation_but_the_first() -> None:
    own = born_again.networks(Config(**SMALL), toys.toy_split(), {})["student"]
    found = born_again.networks(Config(**SMALL), toys.toy_split(), {"student": own, "teacher": own})
    assert all(torch.equal(found[name].stem[0].weight, own.stem[0].weight) for name in ("student", "generation-1"))
    assert len({id(found[name]) for name in ("student", "generation-1", "teacher")}) == 3


def test_an_ensemble_is_kept_and_opened(tmp_path: Path) -> None:
    from mulde.vision import distil

    distil(
        "born_again", train="shapes:96,size=8", student="cnn-4-6", generations=1, epochs=1, folder=tmp_path,
        keep=["ensemble"], augment="none",
    )  # fmt: skip
    opened = open_student(tmp_path / "ensemble").network
    assert isinstance(opened, Averaged) and len(opened.networks) == 2
