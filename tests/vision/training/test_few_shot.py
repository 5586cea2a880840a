"""Heads of few-shot evaluation, against numpy, and their accuracy over episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mulde.vision.data.episodes import EpisodeShape, episodes
from mulde.vision.training.few_shot import HEADS, episode_accuracies
from tests.losses import restated

SUPPORT, QUERY, LABELS = (
    restated.drawn(6, 4, seed=1),
    restated.drawn(5, 4, seed=2),
    torch.arange(3).repeat_interleave(2),
)


def test_prototype_and_cosine_equal_numpy() -> None:
    means = [SUPPORT[2 * i : 2 * i + 2].numpy().mean(0) for i in range(3)]
    distances = [[-((q - m) ** 2).sum() for m in means] for q in QUERY.numpy()]
    angles = [[q @ m / np.sqrt((q @ q) * (m @ m)) for m in means] for q in QUERY.numpy()]
    np.testing.assert_allclose(HEADS["prototype"](SUPPORT, LABELS, QUERY).numpy(), distances, atol=1e-9)
    np.testing.assert_allclose(HEADS["cosine"](SUPPORT, LABELS, QUERY).numpy(), angles, atol=1e-9)


def test_logistic_regression_is_at_its_minimum() -> None:
    """Σ CE + |W|²/2, biases free, as another solver finds it."""

    def objective(values: np.ndarray) -> float:
        weight, bias = values[:12].reshape(3, 4), values[12:]
        p = restated.softmax(SUPPORT.numpy() @ weight.T + bias)
        return float(-np.log(p[np.arange(6), LABELS]).sum() + (weight**2).sum() / 2)

    best = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-8}).x
    expected = QUERY.numpy() @ best[:12].reshape(3, 4).T + best[12:]
    found = HEADS["logistic"](SUPPORT, LABELS, QUERY).numpy()
    centred = [logits - logits.mean(1, keepdims=True) for logits in (found, expected)]
    np.testing.assert_allclose(*centred, atol=1e-4)


def test_accuracies_are_those_of_each_episode() -> None:
    """Two clear classes of different length; without normalisation the long noise of one feature decides."""
    labels = torch.arange(40) % 2
    clear = torch.stack([labels.double(), 1 - labels.double()], 1)
    tasks = episodes(labels, EpisodeShape(2, 1, 5), 6)
    for head in HEADS.values():
        assert episode_accuracies(head, clear.unsqueeze(0), tasks) == pytest.approx(np.ones(6))
    scaled = clear * restated.drawn(40, 1, seed=3).exp()
    assert episode_accuracies(HEADS["prototype"], scaled.unsqueeze(0), tasks).min() == 1
    assert episode_accuracies(HEADS["prototype"], scaled.unsqueeze(0), tasks, normalise=False).mean() < 0.95
    wrong = torch.stack([scaled, clear.flip(1), clear.flip(1)])  # views are labelled examples, too
    assert episode_accuracies(HEADS["prototype"], wrong, tasks).max() == 0
