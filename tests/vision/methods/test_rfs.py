"""RFS: the loss of a generation, and the order of the generations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.vision.methods import rfs
from mulde.vision.methods.rfs import RFS, Config
from mulde.vision.training.options import Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {"student": "cnn-4-6", "generations": 2, "training": Training(1, 24, "none")}


def made(**changes: Any) -> RFS:
    method: RFS = toys.built(rfs, Config(**{**SMALL, **changes}), toys.toy_split())[0]
    return method.double().eval()


def batch() -> Any:
    found = toys.batch()
    return type(found)(found.images.double(), found.labels, torch.full_like(found.index, -1))


def test_losses_equal_numpy() -> None:
    """KL(before ‖ after) with T², summed over classes, mean over the batch; weights α and 1 - α."""
    method = made(alpha=0.3, temperature=4.0)
    assert method.before is not None
    with torch.no_grad():
        target, own = (net(batch().images).logits.numpy() for net in (method.before, method.student))
    labels = batch().labels.numpy()
    rows = [restated.kl(*(restated.softmax(z / 4) for z in pair)) for pair in zip(target, own, strict=True)]
    hard = -np.log(restated.softmax(own)[np.arange(len(labels)), labels]).mean()
    found = {term: value.item() for term, value in method.losses(batch(), toys.BEGINNING).items()}
    assert found == pytest.approx({"student/hard": 0.7 * hard, "student/soft": 0.3 * 16 * np.mean(rows)}, abs=1e-9)
    alone = made(generations=0).losses(batch(), toys.BEGINNING)
    assert {name: value.item() for name, value in alone.items()} == pytest.approx({"student/hard": hard}, abs=1e-9)


def test_every_generation_is_trained_by_the_one_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs, init = [], RFS.__init__

    def recording(self: Any, student: Any, before: Any, *rest: Any) -> None:
        pairs.append((student, before))
        init(self, student, before, *rest)

    monkeypatch.setattr(RFS, "__init__", recording)
    data = toys.toy_split()
    trained = run_method(rfs, Config(**SMALL), data, Session(0, tmp_path))
    first, second = trained.networks["generation-0"], trained.networks["generation-1"]
    assert pairs == [(second, first), (trained.student, second)]
    assert sorted(place.name for place in tmp_path.iterdir()) == ["fit", "generation-0", "generation-1"]
    monkeypatch.setattr(rfs, "EPISODES", 4)
    found = rfs.metrics(Config(**SMALL), rfs_data(), trained)
    assert found == rfs.metrics(Config(**SMALL), rfs_data(), trained) and 0.25 < found["episode_accuracy"] <= 1


def rfs_data() -> Any:
    """Enough images of four classes in the test part."""
    from mulde.vision.data.splitting import split

    images = toys.shapes(160, size=8, seed=2)
    return split(rfs.with_new_classes(images, 4), 0, valid=False).standardised()
