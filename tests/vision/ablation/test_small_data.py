"""The protocol for few pictures: equal trials, search and final test apart, balanced accuracy, an honest verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.engine.protocol import Trained
from mulde.errors import UsageError
from mulde.vision.ablation import search as searching
from mulde.vision.ablation import small_data, statistics
from mulde.vision.ablation.search import search
from mulde.vision.methods import kd
from mulde.vision.models.staged import Features
from tests.vision.ablation.conftest import command

SHAPES = "shapes:160,size=8"
Call = tuple[Any, Any, int]


class Knowing(nn.Module):
    """Classifies a fraction of the images of each class correctly, and no others."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int, fraction: float) -> None:
        super().__init__()
        self.classes, self.labels, self.images, self.one = classes, labels.clone(), images, nn.Parameter(torch.ones(1))
        for label in range(classes):
            rows = (labels == label).nonzero().flatten()
            self.labels[rows[round(fraction * len(rows)) :]] = (label + 1) % classes

    def forward(self, images: Tensor) -> Features:
        rows = torch.cdist(images.flatten(1), self.images.flatten(1)).argmin(1)
        logits = nn.functional.one_hot(self.labels[rows], self.classes).float()
        return Features((), logits, logits)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Trainings are recorded; a learning rate of 0.04 is best, and the term of the teacher adds 0.2 or nothing."""
    found: list[Call] = []

    def run_method(method: Any, config: Any, data: Any, session: Any, given: Mapping[str, Any] | None) -> Trained:
        found.append((config, data, session.seed))
        miss = abs(np.log2(config.training.optimizer.lr / 0.04))
        gain = 0.2 if config.uses_teacher and config.beta == 3 else 0.0
        fraction = max(0.0, 0.7 + gain - 0.15 * float(miss))
        return Trained(Knowing(data.test.pixels(), data.test.labels, data.classes, fraction), "classify")

    monkeypatch.setattr(searching, "run_method", run_method)
    monkeypatch.setattr(statistics, "run_method", run_method)
    return found


def ablate(folder: Path, *words: str) -> dict[str, Any]:
    assert command(folder, "kd", "--small-data", "--data", SHAPES, "--seeds", "4", *words) == 0
    found: dict[str, Any] = json.loads((folder / "out/results.json").read_text())
    return found


def test_a_useless_method_is_not_different_from_a_tuned_baseline(calls: list[Call], tmp_path: Path) -> None:
    """The study's learning rate is four times too high; without a search, the method would seem to gain or lose."""
    result = ablate(tmp_path, "--lr", "0.16")
    assert result["verdict"] == "no significant difference: the 95 % confidence interval includes zero"
    assert result["metric"] == "balanced_accuracy" and "a quarter of the pictures" in result["data"]
    assert {trial["variant"]: trial["lr"] for trial in result["chosen"]} == {"baseline": 0.04, "method": 0.04}
    assert [row["balanced_accuracy"] for row in result["runs"]] == pytest.approx([0.8] * 8)


def test_a_useful_method_is_above_and_no_picture_of_the_test_is_searched(calls: list[Call], tmp_path: Path) -> None:
    result = ablate(tmp_path, "--beta", "3")
    assert result["verdict"].startswith("the method is above its baseline")
    trials, finals = result["search"], [each for each in calls if each[2] != small_data.SEARCH_SEED]
    for split in range(3):
        own = [trial["variant"] for trial in trials if trial["split"] == split]
        assert own.count("baseline") == own.count("method") == 6
    searched = [each for each in calls if each[2] == small_data.SEARCH_SEED]
    for number in range(3):
        final = next(data for _, data, seed in finals if seed == number)
        seen = {row.numpy().tobytes() for _, data, _ in searched[12 * number : 12 * number + 12]
                for part in (data.train, data.test) for row in part.images}  # fmt: skip
        held = {row.numpy().tobytes() for row in final.test.images}
        assert len(held) == 40 and not held & seen and len(final.train) == len(seen) == 120
    assert [seed for _, _, seed in finals] == [0, 0, 3, 3, 1, 1, 2, 2]  # the splits take the seeds in turn


def test_what_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words, sentence in (
        (("kd", "--small-data"), "give them with --data"),
        (("kd", "--small-data", "--data", SHAPES, "--imbalance", "5"), "leave out --all, --preset and --imbalance"),
        (("kd", "--small-data", "--data", "shapes:24,size=8"), "needs 5 or more of every class"),
        (("dogo", "--small-data", "--data", SHAPES), "choose a method that trains one"),
    ):
        assert command(tmp_path, *words) == 2
        assert sentence in capsys.readouterr().err
    uneven = {"baseline": {"training.optimizer.lr": (0.1,)}, "method": {"training.optimizer.lr": (0.1, 0.2)}}
    with pytest.raises(UsageError, match="as many trials for every variant; got 1, 2"):
        next(search(kd, kd.STUDY, uneven, None, None, seed=0))
