"""Boxes as annotation tools write them: YOLO's text files, COCO and VOC beside pictures; turned with their pictures."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.found import described
from mulde.vision.data.loading import load_boxed
from tests.vision.pictures import encoded, plain, turned, write

WIDE = plain(9, (20, 10))
LINE = b"1 0.5 0.5 0.4 0.2\n"  # columns 6 to 14, rows 4 to 6
BOX = [6, 4, 14, 6]


def boxes(images: DetectionSet) -> list[list[tuple[str, list[float]]]]:
    """Class and box of the objects of every picture."""
    return [
        [(images.classes[kind], [round(x, 3) for x in box]) for kind, box in zip(k, b, strict=True) if kind >= 0]
        for k, b in zip(images.labels.tolist(), images.boxes.tolist(), strict=True)
    ]


YOLO: dict[str, tuple[dict[str, bytes], set[str]]] = {
    "data.yaml": (
        {
            "data.yaml": b"path: /content/x\ntrain: images/train\nval: images/val\nnames: [ant, bee]\n",
            "images/train/1.png": WIDE,
            "labels/train/1.txt": LINE,
            "images/val/2.png": WIDE,
            "labels/val/2.txt": LINE,
            "images/unused/3.png": WIDE,
        },
        {"train", "valid"},
    ),
    "Roboflow": (
        {
            "data.yaml": b"train: ../train/images\nval: ../valid/images\nnames: {0: ant, 1: bee}\n",
            "train/images/1.png": WIDE,
            "train/labels/1.txt": LINE,
            "valid/images/2.png": WIDE,
            "valid/labels/2.txt": LINE,
        },
        {"train", "valid"},
    ),
    "classes.txt": (
        {
            "labels/classes.txt": b"ant\nbee\n",
            "images/1.png": WIDE,
            "labels/1.txt": LINE,
            "images/2.png": WIDE,
            "labels/2.txt": LINE,
        },
        set(),
    ),
    "beside": ({"classes.txt": b"ant\r\nbee\r\n", "1.png": WIDE, "1.txt": LINE, "2.png": WIDE, "2.txt": LINE}, set()),
    "lists": (
        {
            "data.yaml": b"train: train.txt\nval: val.txt\nnames: [ant, bee]\n",
            "train.txt": b"./images/1.png\n",
            "val.txt": b"/home/me/set/images/2.png\n",
            "images/1.png": WIDE,
            "labels/1.txt": LINE,
            "images/2.png": WIDE,
            "labels/2.txt": LINE,
        },
        {"train", "valid"},
    ),
}


@pytest.mark.parametrize("name", YOLO)
def test_yolo(tmp_path: Path, name: str) -> None:
    files, parts = YOLO[name]
    found = load_boxed(f"yolo:{write(tmp_path / 'set', files)}")
    assert boxes(found) == [[("bee", BOX)]] * 2 and found.classes == ("ant", "bee") and set(found.parts) == parts
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for each, content in files.items():
            archive.writestr(f"set/{each}", content)
    if name != "data.yaml":
        assert boxes(load_boxed(f"yolo:{tmp_path / 'set.zip'}")) == boxes(found)
    if "data.yaml" in files:
        assert boxes(load_boxed(f"yolo:{tmp_path / 'set/data.yaml'}")) == boxes(found)


def test_yolo_lines(tmp_path: Path) -> None:
    lines = b"0 0.1 0.2 0.3 0.2 0.3 0.4\n\n1 0.5 0.5 0.4 0.2 0.87\n0 0.5 0.5 0 0.1\n0 0.9 0.5 0.4 0.2\n"
    root = write(tmp_path, {"1.png": WIDE, "1.txt": lines, "2.png": WIDE})
    found = load_boxed(f"yolo:{root}")
    assert boxes(found) == [
        [("0", [2, 2, 6, 4]), ("1", BOX), ("0", [14, 4, 20, 6])],
        [],
    ]  # polygon, confidence, clipped
    assert "1 box without area or outside the picture left out" in described(found)
    assert "2 classes: 0 2, 1 1 boxes" in described(found)
    for line, message in (
        (b"1 0.5 0.5 0.4", "1.txt, line 1: expected class x y width height, got 1 0.5 0.5 0.4"),
        (b"dog 0.5 0.5 0.4 0.2", "line 1: expected class x y width height, got dog"),
        (b"-1 0.5 0.5 0.4 0.2", "line 1: expected class x y width height"),
        (b"1 nan 0.5 0.4 0.2", "line 1: expected class x y width height"),
        (b"0 8 5 8 2", "line 1: expected fractions of the picture, from 0 to 1, got 0 8 5 8 2"),
    ):
        (root / "1.txt").write_bytes(line)
        with pytest.raises(UsageError) as error:
            load_boxed(f"yolo:{root}")
        assert message in str(error.value)
    write(root, {"1.txt": LINE, "classes.txt": b"ant\n"})
    with pytest.raises(UsageError, match=r"1.txt: class 1, but there are 1 class names"):
        load_boxed(f"yolo:{root}")
    with pytest.raises(UsageError, match=r"no picture has a text file; expected labels/train/x.txt"):
        load_boxed(f"yolo:{write(tmp_path / 'none', {'1.png': WIDE})}")


def xml(sides: list[int], size: tuple[int, int] | None = None) -> bytes:
    """An object "bee" of a VOC file; sides as VOC counts them."""
    names = ("xmin", "ymin", "xmax", "ymax")
    corners = "".join(f"<{name}>{side}</{name}>" for name, side in zip(names, sides, strict=True))
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation>{stated}<object><name>bee</name><bndbox>{corners}</bndbox></object></annotation>".encode()


def coco(name: str, box: list[int], size: tuple[int, int] | None = None) -> bytes:
    stated = dict(zip(("width", "height"), size, strict=True)) if size else {}
    content = {
        "images": [{"id": 1, "file_name": name, **stated}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": box}],
        "categories": [{"id": 3, "name": "bee"}],
    }
    return json.dumps(content).encode()


def test_annotations_beside_pictures(tmp_path: Path) -> None:
    sides = xml([7, 5, 14, 6])
    root = write(
        tmp_path / "voc", {"train/1.png": WIDE, "train/1.xml": sides, "valid/1.png": WIDE, "valid/1.xml": sides}
    )
    found = load_boxed(f"voc:{root}")
    assert boxes(found) == [[("bee", BOX)]] * 2 and found.parts == ("train", "valid")
    files = {
        f"{part}/{name}": content
        for part in ("train", "valid", "test")
        for name, content in (("1.png", WIDE), ("_annotations.coco.json", coco("1.png", [6, 4, 8, 2])))
    }
    found = load_boxed(f"coco:{write(tmp_path / 'coco', files)}")
    assert boxes(found) == [[("bee", BOX)]] * 3 and sorted(found.parts) == ["test", "train", "valid"]


def test_masks_of_voc_are_not_its_pictures(tmp_path: Path) -> None:
    files = {
        "VOC2012/Annotations/1.xml": xml([7, 5, 14, 6]),
        "VOC2012/JPEGImages/1.png": WIDE,
        "VOC2012/SegmentationClass/1.png": plain(0, (2, 2)),
    }
    assert load_boxed(f"voc:{write(tmp_path, files)}").images.shape == (1, 3, 10, 20)


@pytest.mark.parametrize("kind", ["yolo", "voc", "coco"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_boxes_are_turned_with_their_pictures(tmp_path: Path, kind: str, orientation: int) -> None:
    stored = np.zeros((10, 20, 3), np.uint8)
    stored[4:6, 6:14] = 255
    picture = turned(stored, orientation)
    files = {
        "yolo": {"classes.txt": b"ant\nbee\n", "1.txt": LINE},
        "voc": {"1.xml": xml([7, 5, 14, 6], (20, 10))},
        "coco": {"a.json": coco("1.png", [6, 4, 8, 2])},
    }[kind]
    found = load_boxed(f"{kind}:{write(tmp_path, {'1.png': picture, **files})}")
    left, top, right, bottom = map(int, found.boxes[0, 0].tolist())
    bright = found.images[0, 0] == 255
    assert bright.sum() == 16 == bright[top:bottom, left:right].sum() == (right - left) * (bottom - top)


def test_boxes_on_the_upright_picture_stay(tmp_path: Path) -> None:
    """Tools that turn pictures themselves state the upright size."""
    picture = turned(np.zeros((10, 20, 3), np.uint8), 6)
    upright = [1, 2, 4, 8]
    write(
        tmp_path,
        {"1.png": picture, "1.xml": xml([2, 3, 4, 8], (10, 20)), "a.json": coco("1.png", [1, 2, 3, 6], (10, 20))},
    )
    for kind in ("voc", "coco"):
        assert load_boxed(f"{kind}:{tmp_path}").boxes[0, 0].tolist() == upright


def test_broken_pictures_are_left_out_with_their_boxes(tmp_path: Path) -> None:
    half = encoded(np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8))[:200]
    root = write(
        tmp_path, {"classes.txt": b"ant\nbee\n", "1.png": half, "1.txt": LINE, "2.png": WIDE, "2.txt": LINE + LINE}
    )
    found = load_boxed(f"yolo:{root}", skip_broken=True)
    assert boxes(found) == [[("bee", BOX)] * 2] and "left out: 1.png" in described(found)
    with pytest.raises(UsageError, match=r"1.png cannot be read as a picture: "):
        load_boxed(f"yolo:{root}")
