"""The loss-landscape recipe: the loss on mixed images, the teacher that follows, the stages, and the surfaces."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.additions import Additions
from mulde.engine import Clock, frozen, is_frozen
from mulde.errors import UsageError
from mulde.files import read_json
from mulde.vision.data.augmentation import cutmix
from mulde.vision.methods import loss_landscape
from mulde.vision.methods.loss_landscape import Config, LossLandscape, at_size, turned
from mulde.vision.training.options import Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from mulde.vision.training.surface import stratified_subset
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "cnn-4-6", "training": Training(1, 24, "none"), "finetuning": Training(1, 24, "none")
}  # fmt: skip


def made(**changes: Any) -> LossLandscape:
    method: LossLandscape = toys.built(loss_landscape, Config(**{**SMALL, **changes}), toys.toy_split())[0]
    return method.double().eval()


def batch() -> Any:
    found = toys.batch()
    return type(found)(found.images.double(), found.labels, found.index)


def test_losses_equal_numpy_on_the_same_mixed_images() -> None:
    method = made(hard_weight=0.5, soft_weight=2.0, temperature=3.0)
    torch.manual_seed(3)
    found = {term: value.item() for term, value in method.losses(batch(), toys.BEGINNING).items()}
    torch.manual_seed(3)
    mixed, partner, kept = cutmix(batch().images)
    assert 0 < kept < 1
    with torch.no_grad():
        own, target = (net(mixed).logits.numpy() for net in (method.student, method.teacher))
    logs, labels = np.log(restated.softmax(own)), batch().labels.numpy()
    other = labels[partner.numpy()]
    hard = -np.mean([kept * row[a] + (1 - kept) * row[b] for row, a, b in zip(logs, labels, other, strict=True)])
    soft = 9 * np.mean(
        [restated.kl(*(restated.softmax(z / 3) for z in pair)) for pair in zip(target, own, strict=True)]
    )
    assert found == pytest.approx({"student/hard": 0.5 * hard, "student/soft": 2 * soft}, abs=1e-9)


def test_cutmix_moves_a_rectangle_and_counts_its_area() -> None:
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 8, 10).clone()
    parts = []
    for seed in range(40):
        torch.manual_seed(seed)
        mixed, partner, kept = cutmix(images)
        own = mixed == images
        foreign = mixed == partner.view(-1, 1, 1, 1)
        assert (own | foreign).all()
        moved = partner != torch.arange(6)
        assert (~own[moved]).double().mean().item() == pytest.approx(1 - kept, abs=1e-6)
        parts.append(kept)
    assert min(parts) < 0.4 and max(parts) > 0.9


def test_a_teacher_that_follows_moves_in_every_nth_epoch() -> None:
    method = made(follow_every=2)
    given = frozen(copy.deepcopy(method.teacher))
    assert not is_frozen(LossLandscape(method.student, given, method.config).teacher)
    before, student = (copy.deepcopy(net.state_dict()) for net in (method.teacher, method.student))
    method.after_update(Clock(0, 1, 4, 0.3))
    assert all(torch.equal(value, before[name]) for name, value in method.teacher.state_dict().items())
    method.after_update(Clock(0, 2, 4, 0.6))
    name = "classifier.weight"
    torch.testing.assert_close(method.teacher.state_dict()[name], 0.999 * before[name] + 0.001 * student[name])

    with pytest.raises(UsageError, match="--follow-every needs a teacher of the student's architecture"):
        made(follow_every=1, teacher="cnn-4-8")


def test_the_released_values() -> None:
    config = Config()
    assert config.training.additions == Additions(max_grad_value=0.1, loss_driven_factor=0.9)
    assert config.finetuning.additions == Additions(max_grad_value=0.1, loss_driven_factor=0.8, accumulate=4)
    assert (config.temperature, config.hard_weight, config.soft_weight, config.follow_every) == (4, 1, 1, 0)
    assert (config.training.optimizer.lr, config.finetuning.optimizer.lr) == (0.1, 0.01)


def test_four_stages_at_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit = Session.fit

    def recording(self: Session, setup: Any, config: Any, **options: Any) -> Any:
        method = getattr(setup, "method", setup)
        feed = getattr(setup, "feed", None)
        size = (toys.toy_split().train if feed is None else feed.images).images.shape[-1]
        seen.append((options.get("name", "fit"), type(method).__name__, size))
        return fit(self, setup, config, **options)

    monkeypatch.setattr(Session, "fit", recording)
    trained = run_method(loss_landscape, Config(**SMALL, first_size=4), toys.toy_split(), Session(0))
    assert seen == [
        ("teacher", "_OnLabels", 4),
        ("first-size", "LossLandscape", 4),
        ("finetuning", "_OnLabels", 8),
        ("fit", "LossLandscape", 8),
    ]
    assert set(trained.figures) == {"teacher_sharpness", "student_sharpness"}


def test_surfaces_are_kept_in_the_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    config = Config(**SMALL, surface_steps=3)
    trained = run_method(loss_landscape, config, toys.toy_split(), Session(0, tmp_path))
    found = read_json(tmp_path / "surface.json") or {}
    assert list(found["losses"]) == ["teacher", "student"] and found["coordinates"] == [-1.0, 0.0, 1.0]
    subset = stratified_subset(toys.toy_split().train)
    assert set(subset.labels.tolist()) == set(range(8)) and found["images"] == len(subset)
    with torch.no_grad():
        logits = trained.student.eval()(subset.pixels()).logits
    here = torch.nn.functional.cross_entropy(logits, subset.labels).item()
    assert found["losses"]["student"][1][1] == pytest.approx(here, rel=1e-5)
    assert (tmp_path / "surface.png").read_bytes().startswith(b"\x89PNG")


def test_images_of_another_size_are_standardised_once() -> None:
    images = toys.toy_split().train
    small = at_size(images, 4).pixels()
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(images.pixels(), 2), atol=1e-5, rtol=1e-5)
    assert at_size(images, 0) is images


def test_a_quarter_turn_is_exact() -> None:
    images = replace(toys.toy_split().train, scale=None)
    found = turned(images, 90.0).pixels()
    expected = images.pixels()
    assert any(torch.allclose(found, expected.rot90(k, (2, 3)), atol=1e-4) for k in (1, 3))
