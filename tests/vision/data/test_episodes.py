"""Episodes: fixed, without overlap, of classes that are large enough."""

from __future__ import annotations

import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data.episodes import EpisodeShape, episodes, with_new_classes
from tests.vision import toys

LABELS = torch.arange(60) % 4


def test_an_episode_has_its_classes_and_no_image_twice() -> None:
    shape = EpisodeShape(3, 2, 5)
    found = episodes(LABELS, shape, 30)
    for task in found:
        rows = torch.cat([task.support, task.query])
        assert len(rows.unique()) == 3 * 7
        names = LABELS[task.support].view(3, 2)[:, 0]
        assert len(names.unique()) == 3
        assert torch.equal(LABELS[task.support], names[task.support_labels])
        assert torch.equal(LABELS[task.query], names[task.query_labels])
    again, other = episodes(LABELS, shape, 30), episodes(LABELS, shape, 30, seed=1)
    assert all(torch.equal(a.query, b.query) for a, b in zip(found, again, strict=True))
    assert not all(torch.equal(a.query, b.query) for a, b in zip(found, other, strict=True))
    assert len({tuple(task.support.tolist()) for task in found}) > 25


def test_small_classes_are_not_drawn() -> None:
    labels = torch.cat([LABELS, torch.tensor([4, 4, -1, -1])])
    assert all(int(labels[task.support].max()) < 4 for task in episodes(labels, EpisodeShape(4, 1, 2), 20))
    with pytest.raises(UsageError, match=r"5 classes with 3 images each.*4 of 5 classes have as many"):
        episodes(labels, EpisodeShape(5, 1, 2), 1)


@pytest.mark.parametrize("text", ["5way", "1way5shot", "5way0shot", "5 way 5 shot"])
def test_a_shape_is_written_in_one_way(text: str) -> None:
    assert EpisodeShape.parse("5way1shot") == EpisodeShape(5, 1) and str(EpisodeShape(5, 1)) == "5way1shot"
    with pytest.raises(UsageError, match="written as 5way5shot"):
        EpisodeShape.parse(text)


def test_new_classes_are_the_test_part() -> None:
    images = toys.images()
    found = with_new_classes(images, 3)
    parts = {part: {int(images.labels[i]) for i, own in enumerate(found.parts) if own == part} for part in found.parts}
    assert parts == {"train": set(range(5)), "test": {5, 6, 7}}
    with pytest.raises(UsageError, match="7 classes are kept for the test"):
        with_new_classes(images, 7)
