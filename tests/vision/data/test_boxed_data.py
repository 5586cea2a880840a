"""Images with boxes: generated, read from VOC and COCO, split, in batches, and detection metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.data.boxes import DetectionSet, padded
from mulde.vision.data.loading import load_boxed
from mulde.vision.data.scenes import KINDS, scenes
from mulde.vision.data.splitting import split
from mulde.vision.models.boxes import Detections
from mulde.vision.training.detection import as_rows, detection_metrics
from mulde.vision.training.feeds import BoxBatch, BoxFeed
from mulde.vision.training.options import Training
from tests.vision import toys


def test_scenes_are_repeatable_and_their_boxes_fit() -> None:
    found = scenes(60, 32, seed=3)
    assert found.images.shape == (60, 1, 32, 32) and found.classes == KINDS
    assert 0 <= found.images.min() < found.images.max() <= 1
    assert found.checksum() == scenes(60, 32, seed=3).checksum() != scenes(60, 32, seed=4).checksum()
    assert set(found.strata.tolist()) == {0, 1, 2, 3} and found.counts().min() > 20
    real = found.boxes[found.labels >= 0]
    assert real.min() >= 0 and real.max() <= 32 and (real[:, 2:] - real[:, :2]).min() >= 4
    assert scenes(2, 32, channels=3).images.shape == (2, 3, 32, 32)


def test_a_box_is_where_the_object_is() -> None:
    found = scenes(40, 64, seed=5, noise=0.0)
    one = (found.strata == 1).nonzero().flatten()
    differences = []
    for i in one.tolist():
        left, top, right, bottom = found.boxes[i, 0].int().tolist()
        inside = found.images[i, 0, top:bottom, left:right].mean()
        differences.append(inside - found.images[i, 0].mean())
    assert len(differences) > 5 and min(differences) > 0.05


def test_checked_and_padded() -> None:
    boxes = torch.tensor([[1.0, 2, 3, 4], [2, 2, 5, 5]])
    found = padded(
        torch.zeros(3, 1, 8, 8),
        [(boxes, torch.tensor([1, 0])), (boxes[:0], torch.tensor([])), (boxes[:1], torch.tensor([0]))],
        ["a", "b"],
        "x",
    )
    assert found.labels.tolist() == [[1, 0], [-1, -1], [0, -1]] and found.strata.tolist() == [2, 0, 1]
    some = found[torch.tensor([2, 0])]
    assert isinstance(some, DetectionSet) and torch.equal(some.boxes[1], boxes) and some.labels.tolist()[0] == [0, -1]
    nothing = padded(torch.zeros(1, 1, 8, 8), [(boxes[:0], torch.tensor([]))], ["a"], "x")
    assert nothing.labels.tolist() == [[-1]]
    with pytest.raises(ValueError, match=r"1 boxes have no area, the first is \[3.0, 2.0, 3.0, 4.0\]; drop them"):
        padded(torch.zeros(1, 1, 8, 8), [(torch.tensor([[3.0, 2, 3, 4]]), torch.tensor([0]))], ["a"], "x")
    with pytest.raises(ValueError, match=r"expected labels \(n, o\) and boxes \(n, o, 4\)"):
        DetectionSet(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64), ("a",), boxes=torch.zeros(1, 4))


def test_divisions_keep_the_shares_of_numbers_of_objects() -> None:
    found = split(toys.boxed_split().train, 0, train=20, test=16)
    assert len(found.train) == 20 and len(found.test) == 16
    whole = toys.boxed_split().train.strata.bincount(minlength=4) / len(toys.boxed_split().train)
    assert (found.test.strata.bincount(minlength=4) / 16 - whole).abs().max() < 1 / 16 + 1e-6
    assert toys.boxed_split().train.pixels().mean().abs() < 1e-5


def test_feed_mirrors_boxes_with_images_and_resumes() -> None:
    images = torch.zeros(24, 1, 8, 10)
    images[:, :, 2:4, 1:4] = 1
    boxes = torch.tensor([[1.0, 2, 4, 4]])
    found = padded(images, [(boxes, torch.tensor([0]))] * 23 + [(boxes[:0], torch.tensor([]))], ["a"], "x")
    feed = BoxFeed(found, 6, seed=2, mirror=True)
    seen: list[BoxBatch] = list(feed)
    turned = 0
    for image, box, label in (
        (i, b, k) for batch in seen for i, b, k in zip(batch.images, batch.boxes, batch.labels, strict=True)
    ):
        if label[0] < 0:
            assert box.abs().sum() == 0
            continue
        left, top, right, bottom = box[0].int().tolist()
        assert image[0, top:bottom, left:right].mean() == 1
        turned += left != 1
    assert 4 <= turned <= 20
    again = BoxFeed(found, 6, seed=2, mirror=True)
    iterator = iter(again)
    next(iterator), next(iterator)
    state = again.state_dict()
    rest = BoxFeed(found, 6, seed=2, mirror=True)
    rest.load_state_dict(state)
    for ours, theirs in zip(rest, seen[2:], strict=True):
        assert torch.equal(ours.index, theirs.index) and torch.equal(ours.boxes, theirs.boxes)


def test_only_mirroring_is_offered_for_boxes() -> None:
    with pytest.raises(UsageError, match="--augment-share needs images without boxes, whose augmentation it is"):
        Training(augment="flip", augment_share=0.5).box_feed(toys.boxed_split().train, 0)
    assert Training(augment="flip").box_feed(toys.boxed_split().train, 0).mirror
    with pytest.raises(
        ValueError, match=r'can be mirrored \("flip"\) or left as they are \("none"\); got augment=shift-flip'
    ):
        Training(augment="shift-flip").box_feed(toys.boxed_split().train, 0)


def picture(path: Path, size: tuple[int, int] = (20, 10)) -> None:
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", size, (255, 0, 51)).save(path)


def voc(folder: Path, name: str, objects: list[tuple[str, int, int, int, int]], part: str = "") -> None:
    picture(folder / f"JPEGImages/{name}.png")
    sides = ("xmin", "ymin", "xmax", "ymax")
    things = "".join(
        f"<object><name>{kind}</name><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, corners, strict=True))
        + "</bndbox></object>"
        for kind, *corners in objects
    )
    (folder / "Annotations").mkdir(exist_ok=True)
    (folder / f"Annotations/{name}.xml").write_text(f"<annotation>{things}</annotation>")
    if part:
        (folder / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        with (folder / f"ImageSets/Main/{part}.txt").open("a") as file:
            file.write(f"{name}\n")


@pytest.mark.parametrize("deeper", [False, True])
def test_voc(tmp_path: Path, deeper: bool) -> None:
    root = tmp_path / "VOC" if deeper else tmp_path
    voc(root, "one", [("dog", 1, 1, 10, 5), ("cat", 3, 2, 20, 10)], "train")
    voc(root, "two", [("dog", 5, 5, 5, 9)], "val")  # no area
    voc(root, "three", [], "test")
    found = load_boxed(f"voc:{tmp_path}")
    rows = dict(zip(found.parts, range(3), strict=True))
    assert found.classes == ("cat", "dog") and rows.keys() == {"train", "valid", "test"}
    one = rows["train"]
    assert found.images.shape == (3, 3, 10, 20) and found.pixels()[one, :, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
    assert found.labels[one].tolist() == [1, 0]
    assert found.boxes[one].tolist() == [[0, 0, 10, 5], [2, 1, 20, 10]]  # counted from 1, both ends inside
    assert found.labels[rows["valid"]].tolist() == [-1, -1] == found.labels[rows["test"]].tolist()
    small = load_boxed(f"voc:{tmp_path},size=5,grey=1")
    assert small.images.shape == (3, 1, 5, 5) and small.boxes[one, 0].tolist() == pytest.approx([0, 0, 2.5, 2.5])


def coco(images: list[str], annotations: list[dict[str, Any]]) -> str:
    entries = [{"id": 10 * i, "file_name": name} for i, name in enumerate(images)]
    return json.dumps(
        {
            "images": entries,
            "annotations": [{"iscrowd": 0, **entry} for entry in annotations],
            "categories": [{"id": 90, "name": "zebra"}, {"id": 7, "name": "ant"}],
        }
    )


THINGS: list[dict[str, Any]] = [
    {"image_id": 0, "category_id": 90, "bbox": [2, 3, 8, 4]},
    {"image_id": 0, "category_id": 7, "bbox": [1, 1, 5, 0]},
    {"image_id": 0, "category_id": 7, "bbox": [1, 1, 9, 9], "iscrowd": 1},
    {"image_id": 10, "category_id": 7, "bbox": [0.5, 1, 9, 9]},
]


def test_coco_folder_and_file(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for part in ("train2017", "val2017"):
        (tmp_path / f"annotations/instances_{part}.json").write_text(coco(["a.png", "b.png"], THINGS))
        for name in ("a.png", "b.png"):
            picture(tmp_path / part / name)
    found = load_boxed(f"coco:{tmp_path}")
    assert found.classes == ("ant", "zebra") and found.parts == ("train", "train", "test", "test")
    assert found.labels.tolist() == [[1], [0]] * 2
    assert found.boxes[:2, 0].tolist() == [[2, 3, 10, 7], [0.5, 1, 9.5, 10]]
    (tmp_path / "own.json").write_text(coco(["train2017/a.png"], THINGS[:1]))
    own = load_boxed(f"coco:{tmp_path / 'own.json'}")
    assert own.parts == () and len(own) == 1


def test_messages(tmp_path: Path) -> None:
    def refused(spec: str) -> str:
        with pytest.raises(UsageError) as error:
            load_boxed(spec)
        return str(error.value)

    assert 'no form of images with boxes called "digits"; there are ' in refused("digits")
    assert f"{tmp_path / 'none'} does not exist" in refused(f"voc:{tmp_path / 'none'}")
    assert "expected the folders Annotations and JPEGImages of PASCAL VOC" in refused(f"voc:{tmp_path}")
    assert "expected annotations/instances_*.json in this folder" in refused(f"coco:{tmp_path}")
    voc(tmp_path, "one", [("dog", 1, 1, 9, 9)])
    picture(tmp_path / "JPEGImages/two.png", (8, 8))
    assert load_boxed(f"voc:{tmp_path}").parts == ()
    (tmp_path / "Annotations/two.xml").write_text("<annotation><object>")
    assert "two.xml: expected <object> with a <bndbox> of four numbers, but" in refused(f"voc:{tmp_path}")
    (tmp_path / "Annotations/two.xml").write_text("<annotation/>")
    mixed = load_boxed(f"voc:{tmp_path}")
    assert mixed.images.shape == (2, 3, 8, 8) and mixed.boxes[0, 0].tolist() == pytest.approx([0, 0, 3.6, 7.2])
    assert mixed.notes[0].startswith("pictures of 8 x 8 to 20 x 10 pixels are brought to 8 x 8")
    (tmp_path / "Annotations/three.xml").write_text("<annotation/>")
    assert "there is no picture JPEGImages/three.jpg" in refused(f"voc:{tmp_path}")
    file = tmp_path / "x.json"
    for text, message in (
        ("{", "expected JSON, but"),
        ('{"images": []}', "expected COCO's lists categories, images and annotations that refer to each other"),
        (coco(["a.png"], []), "there is no picture a.png, beside it or in another folder of the set"),
        (coco([], []), "0 annotated pictures and 2 classes; there is nothing to detect"),
    ):
        file.write_text(text)
        assert message in refused(f"coco:{file}")


class Oracle(nn.Module):
    """Returns given detections in the order of the images."""

    def __init__(self, images: DetectionSet, shift: float = 0.0) -> None:
        super().__init__()
        self.place, self.images, self.shift, self.at = nn.Parameter(torch.zeros(1)), images, shift, 0

    def detect(self, images: Tensor) -> Detections:
        rows = slice(self.at, self.at + len(images))
        self.at += len(images)
        assert not self.training
        labels = self.images.labels[rows]
        return Detections(self.images.boxes[rows] + self.shift, 0.5 * (labels >= 0), labels)


def test_metrics_of_a_detector() -> None:
    images = toys.boxed_split().train
    right = Oracle(images)
    assert detection_metrics(right, images, 7) == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1})
    assert right.training
    off = detection_metrics(Oracle(images, 1.0), images)
    assert off["ap75"] < off["ap50"] < 1
    found = as_rows(Oracle(images).eval().detect(images.images))
    assert found.shape == (len(images), images.labels.shape[1], 6)
