"""Pictures with masks: layouts, pairs by name, void values, orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data.found import described
from mulde.vision.data.loading import load_masks
from mulde.vision.data.splitting import split
from tests.vision.pictures import corner, encoded, plain, turned, write

PICTURE = plain(9, (4, 6))
IDS = np.zeros((6, 4), np.uint8)
IDS[0], IDS[1] = 1, 2
MASK = encoded(IDS)

LAYOUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], set[str]]] = {
    "two folders": (("images/1.jpg", "images/2.jpg"), ("masks/1.png", "masks/2.png"), set()),
    "other words": (
        ("JPEGImages/1.jpg", "JPEGImages/2.jpg"),
        ("SegmentationClass/1.png", "SegmentationClass/2.png"),
        set(),
    ),
    "CamVid": (("train/a1.png", "val/a2.png"), ("trainannot/a1.png", "valannot/a2.png"), {"train", "valid"}),
    "parts outside": (
        ("train/images/1.png", "test/images/1.png"),
        ("train/labels/1.png", "test/labels/1.png"),
        {"train", "test"},
    ),
    "parts inside": (
        ("img/train/1.png", "img/val/1.png"),
        ("annotations/train/1.png", "annotations/val/1.png"),
        {"train", "valid"},
    ),
    "endings": (("1.jpg", "2.jpg"), ("1_mask.png", "2_mask.png"), set()),
    "endings in folders": (
        ("images/x_1_leftImg8bit.png", "images/x_2_leftImg8bit.png"),
        ("gtFine/x_1_gtFine_labelIds.png", "gtFine/x_2_gtFine_labelIds.png"),
        set(),
    ),
    "zeros": (("frames/2.png", "frames/10.png"), ("masks/002.png", "masks/010.png"), set()),
    "numbers": (("images/image_1.png", "images/image_2.png"), ("masks/seg1.png", "masks/seg2.png"), set()),
    "inside": (("x/images/a/1.png", "x/images/b/1.png"), ("x/masks/a/1.png", "x/masks/b/1.png"), set()),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    pictures, masks, parts = LAYOUTS[name]
    second = encoded(np.where(IDS == 1, 0, IDS))
    write(
        tmp_path,
        dict.fromkeys(pictures, PICTURE) | dict(zip(masks, (MASK, second), strict=True)) | {"masks/._1.png": b""},
    )
    found = load_masks(f"masks:{tmp_path}")
    assert found.images.shape == (2, 3, 6, 4) and found.labels.shape == (2, 6, 4) and set(found.parts) == parts
    assert {tuple(mask.unique().tolist()) for mask in found.labels} == {(0, 1, 2), (0, 2)}
    assert found.classes == ("0", "1", "2") and found.counts().tolist() == [36, 4, 8]
    assert "3 classes: 0 36, 1 4, 2 8 pixels" in described(found)


def masked(path: Path, mask: np.ndarray, options: str = "") -> torch.Tensor:
    write(path, {"images/1.png": PICTURE, "masks/1.png": encoded(mask)})
    return load_masks(f"masks:{path}{options}").labels[0]


def test_void(tmp_path: Path) -> None:
    void = np.where(IDS == 2, 255, IDS).astype(np.uint8)
    assert masked(tmp_path, void).unique().tolist() == [-1, 0, 1]
    assert masked(tmp_path, IDS, ",void=2").unique().tolist() == [-1, 0, 1]
    assert masked(tmp_path, void, ",void=none").unique().tolist() == [0, 1, 255]
    one = np.where(IDS, 255, 0).astype(np.uint8)
    assert masked(tmp_path, one).unique().tolist() == [0, 1]
    assert "which is taken as class 1" in described(load_masks(f"masks:{tmp_path}"))
    assert masked(tmp_path, one, ",void=255").unique().tolist() == [-1, 0]
    with pytest.raises(UsageError, match='void is the value of pixels without a class, or "none"; got red'):
        masked(tmp_path, one, ",void=red")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_turned_with_their_pictures(tmp_path: Path, orientation: int) -> None:
    write(
        tmp_path,
        {
            "images/1.png": turned(corner(), orientation),
            "masks/1.png": encoded((corner()[..., 0] > 0).astype(np.uint8)),
        },
    )
    found = load_masks(f"masks:{tmp_path}")
    assert torch.equal(found.labels[0] == 1, found.images[0, 0] > 0)
    write(tmp_path, {"masks/1.png": turned((corner()[..., 0] > 0).astype(np.uint8), orientation)})  # of its own
    assert torch.equal(load_masks(f"masks:{tmp_path}").labels[0], found.labels[0])


def test_an_upright_mask_stays(tmp_path: Path) -> None:
    write(tmp_path, {"images/1.png": turned(corner(6, 4), 6), "masks/1.png": MASK})
    assert np.array_equal(load_masks(f"masks:{tmp_path}").labels[0].numpy(), IDS)


def test_sizes(tmp_path: Path) -> None:
    found = masked(tmp_path, np.repeat(np.repeat(IDS, 2, 0), 2, 1))
    assert np.array_equal(found.numpy(), IDS)
    assert load_masks(f"masks:{tmp_path},size=3,grey=1").labels.shape == (1, 3, 3)
    with pytest.raises(UsageError, match=r"masks/1.png has 5 x 6 pixels, its picture 4 x 6; expected the same"):
        masked(tmp_path, np.zeros((6, 5), np.uint8))
    with pytest.raises(UsageError, match="is in colour; expected a class id per pixel"):
        masked(tmp_path, corner())


def test_pictures_without_masks(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("images/1.png", "images/2.png", "images/3.png"), PICTURE) | {"masks/2.png": MASK})
    with pytest.raises(
        UsageError, match=r"2 of 3 pictures have no class map of their name: 1.png, 3.png; there are 1 maps"
    ):
        load_masks(f"masks:{tmp_path}")
    for name, message in (("images", "but no masks; expected images/ and masks/"), ("masks", "but no masks")):
        with pytest.raises(UsageError, match=message):
            load_masks(f"masks:{tmp_path / name}")
    with pytest.raises(UsageError, match='no form of images with masks called "digits"; there are masks:PATH'):
        load_masks("digits")


def test_a_split_keeps_the_masks(tmp_path: Path) -> None:
    files = {f"{kind}/{i}.png": content for i in range(10) for kind, content in (("images", PICTURE), ("masks", MASK))}
    found = split(load_masks(f"masks:{write(tmp_path, files)}"), 0).standardised()
    assert len(found.train) == 7 and found.train.labels.shape == (7, 6, 4)
