"""Accuracies and recalls of a network with known answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mulde.vision.data import ImageSet, Split
from mulde.vision.models import Features
from mulde.vision.training.evaluation import missing_class_recall, network_accuracy, predicted_classes


class Echo(nn.Module):
    """Answers with the first row of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Features:
        assert not self.training
        return Features((), images[:, 0, 0], images[:, 0, 0] + self.idle)


def echoing(logits: list[list[float]], labels: list[int]) -> ImageSet:
    return ImageSet(torch.tensor(logits)[:, None, None], torch.tensor(labels), ("a", "b", "c"))


PART = echoing([[1, 0, -1], [0, 1, -2], [0.5, 0, -1], [3, 0, -4]], [0, 1, 2, 2])


def test_accuracy_in_eval_mode() -> None:
    network = Echo()
    assert predicted_classes(network, PART).tolist() == [0, 1, 0, 0]
    assert network_accuracy(network, PART) == 0.5
    assert network.training


def test_recall_of_a_missing_class_before_and_after_lifting() -> None:
    """An offset of 1.75 makes one more image right and none wrong; lifting further would cost the first."""
    found = missing_class_recall(Echo(), Split(PART, PART, PART, 0), 2)
    assert found == {"missing_recall": 0.0, "lifted_recall": pytest.approx(0.5)}
