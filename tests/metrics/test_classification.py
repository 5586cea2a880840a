"""Classification metrics on hand-made answers."""

from __future__ import annotations

import math

import pytest

from mulde.errors import UsageError
from mulde.metrics import classification

LABELS = [0, 0, 0, 0, 1, 1, 2, 2]
ANSWERS = [0, 0, 0, 1, 1, 2, 0, 0]


def test_confusion_has_labels_in_rows() -> None:
    assert classification.confusion(ANSWERS, LABELS, 4).tolist() == [
        [3, 1, 0, 0],
        [0, 1, 1, 0],
        [2, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_accuracy_in_all_and_per_class() -> None:
    assert classification.accuracy(ANSWERS, LABELS) == 4 / 8
    recall = classification.per_class(ANSWERS, LABELS, 4)
    assert recall[:3].tolist() == [0.75, 0.5, 0.0] and math.isnan(recall[3])
    assert classification.balanced_accuracy(ANSWERS, LABELS, 4) == pytest.approx(1.25 / 3)


def test_many_medium_few_by_training_images() -> None:
    groups = classification.many_medium_few(ANSWERS, LABELS, [500, 100, 19])
    assert groups == {"many": 0.75, "medium": 0.5, "few": 0.0}
    groups = classification.many_medium_few(ANSWERS, LABELS, [500, 101, 300])
    assert groups == {"many": pytest.approx(1.25 / 3)}


def test_messages() -> None:
    with pytest.raises(UsageError) as error:
        classification.accuracy([0, 1], [0])
    assert str(error.value) == ("expected as many predictions as labels, at least one; got shapes (2,) and (1,)")
    with pytest.raises(UsageError) as error:
        classification.confusion([0, 1], [0, 3], 3)
    assert str(error.value) == "labels should be from 0 to 2; got 0 to 3"
