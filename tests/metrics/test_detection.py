"""Average precision against pycocotools and by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.metrics.detection import Objects, average_precision, coco_metrics


def objects(boxes: Any, labels: Any, scores: Any = None) -> Objects:
    return Objects(
        np.asarray(boxes, float).reshape(-1, 4),
        np.asarray(labels, np.int64),
        None if scores is None else np.asarray(scores, float),
    )


def drawn(random: np.random.Generator, images: int, classes: int, ties: bool) -> tuple[list[Objects], list[Objects]]:
    """Objects, and detections near them, elsewhere, doubled or of the wrong class."""
    found, true = [], []
    for _ in range(images):
        count = int(random.integers(0, 6))
        corner, size = random.uniform(0, 40, (count, 2)), random.uniform(5, 25, (count, 2))
        boxes, labels = np.concatenate([corner, corner + size], 1), random.integers(0, classes - 1, count)
        true.append(objects(boxes, labels))
        copies = random.integers(0, 3, count)
        guessed = np.repeat(boxes, copies, 0) + random.normal(0, 1.5, (copies.sum(), 4))
        other = random.uniform(0, 30, (3, 2))
        guessed = np.concatenate([guessed, np.concatenate([other, other + 12], 1)])
        kinds = np.concatenate([np.repeat(labels, copies), random.integers(0, classes, 3)])
        scores = random.random(len(kinds))
        found.append(objects(guessed, kinds, scores.round(1) if ties else scores))
    return found, true


def by_pycocotools(found: list[Objects], true: list[Objects], classes: int) -> np.ndarray:
    """AP (classes, thresholds); -1 where a class has no object."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    annotations, results = [], []
    for image, (guess, truth) in enumerate(zip(found, true, strict=True)):
        for box, label in zip(truth.boxes, truth.labels, strict=True):
            size = box[2:] - box[:2]
            entry = {"image_id": image, "category_id": int(label), "bbox": [*box[:2], *size], "area": size.prod()}
            annotations.append({**entry, "iscrowd": 0, "id": len(annotations) + 1})
        assert guess.scores is not None
        for box, label, score in zip(guess.boxes, guess.labels, guess.scores, strict=True):
            entry = {"image_id": image, "category_id": int(label), "bbox": [*box[:2], *(box[2:] - box[:2])]}
            results.append({**entry, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth_side = coco.COCO()
        truth_side.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(true))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": annotations,
        }
        truth_side.createIndex()
        reference = cocoeval.COCOeval(truth_side, truth_side.loadRes(results), "bbox")
        reference.evaluate()
        reference.accumulate()
    return reference.eval["precision"][:, :, :, 0, 2].mean(1).T


@pytest.mark.parametrize("ties", [False, True])
def test_equal_to_pycocotools(ties: bool) -> None:
    found, true = drawn(np.random.default_rng(3), images=60, classes=4, ties=ties)
    ours, theirs = average_precision(found, true, 4), by_pycocotools(found, true, 4)
    assert np.isnan(ours[3]).all() and (theirs[3] == -1).all()  # no object of this class
    np.testing.assert_allclose(ours[:3], theirs[:3], atol=1e-12)
    assert 0.1 < ours[:3, 0].mean() < 0.9 and ours[:3, 9].mean() < ours[:3, 0].mean()
    means = coco_metrics(found, true, 4)
    assert means == pytest.approx({"ap": theirs[:3].mean(), "ap50": theirs[:3, 0].mean(), "ap75": theirs[:3, 5].mean()})


def test_by_hand() -> None:
    true = [objects([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0])]
    exact, double, miss = [0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]
    assert average_precision([objects([exact], [0], [0.9])], true, 1)[0, 0] == pytest.approx(51 / 101)
    # The second detection of one object is wrong, whatever its overlap; precision is 1 up to half the recall.
    assert average_precision([objects([exact, double], [0, 0], [0.9, 0.8])], true, 1)[0, 0] == pytest.approx(51 / 101)
    first_wrong = objects([miss, exact], [0, 0], [0.9, 0.8])
    assert average_precision([first_wrong], true, 1)[0, 0] == pytest.approx(0.5 * 51 / 101)


def test_nothing_found_and_nothing_there() -> None:
    nothing, empty = objects([], [], []), objects([], [])
    thing = objects([[0, 0, 5, 5]], [0])
    assert average_precision([nothing, nothing], [thing, empty], 1)[0].tolist() == [0.0] * 10
    assert np.isnan(average_precision([nothing], [empty], 1)).all()
    assert np.isnan(coco_metrics([nothing], [empty], 1)["ap"])
    found = objects([[0, 0, 5, 5]], [0], [0.5])
    assert average_precision([found, found], [thing, empty], 1)[0, 0] == 1.0  # the wrong one comes second


def test_as_many_images_on_both_sides() -> None:
    with pytest.raises(UsageError, match="expected detections for each of 2 images, got 1"):
        average_precision([objects([], [], [])], [objects([], [])] * 2, 1)
