"""`mulde ablate --preset paper` on images of the user's, in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vision.ablation.conftest import cifar, command

PAPER = ("--preset", "paper", "--seeds", "1", "--fraction", "0.001", "--json")


def test_the_papers_networks_and_schedule_on_images_of_the_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = cifar(tmp_path / "cifar", 100, 40, ("train", "test"))
    assert command(tmp_path, "ffsd", "--data", data, *PAPER) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["variant"] for row in found["runs"]] == ["baseline", "method"]
    config = found["configurations"]["method"]
    assert (config["student"], config["diversity_weight"], config["training"]["epochs"]) == ("resnet20", 1e-5, 1)
    assert config["training"]["optimizer"]["milestones"] == [150, 225]
    assert "all images, official parts kept" in found["data"] and found["notes"] == "The authors' values for CIFAR-100."
    assert (tmp_path / "out/table.md").exists()
    steps = json.loads((tmp_path / "out/seed-0/method/fit/record.json").read_text())["steps"]
    assert steps == 1  # 40 images in a batch of 128


def voc(folder: Path) -> str:
    """Twelve pictures with a box in each, in the layout of PASCAL VOC; every third one in the test part."""
    image = pytest.importorskip("PIL.Image")
    for place in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / place).mkdir(parents=True)
    for number in range(12):
        image.new("RGB", (80, 60), (20 * number, 0, 255)).save(folder / f"JPEGImages/{number}.jpg")
        edges = zip(("xmin", "ymin", "xmax", "ymax"), (5, 5, 60, 50), strict=True)
        box = "".join(f"<{side}>{value}</{side}>" for side, value in edges)
        thing = f"<object><name>{'cat' if number % 2 else 'dog'}</name><bndbox>{box}</bndbox></object>"
        (folder / f"Annotations/{number}.xml").write_text(f"<annotation>{thing}</annotation>")
        with (folder / f"ImageSets/Main/{'test' if number % 3 == 0 else 'train'}.txt").open("a") as file:
            file.write(f"{number}\n")
    return f"voc:{folder},size=64"


def coco(folder: Path) -> str:
    """The same pictures and boxes in the layout of COCO."""
    voc(folder / "voc")
    (folder / "annotations").mkdir()
    for part, numbers in (("train2017", range(8)), ("val2017", range(8, 12))):
        (folder / part).mkdir()
        for number in numbers:
            (folder / f"voc/JPEGImages/{number}.jpg").rename(folder / part / f"{number}.jpg")
        content = {
            "images": [{"id": number, "file_name": f"{number}.jpg"} for number in numbers],
            "annotations": [{"image_id": n, "category_id": 1 + n % 2, "bbox": [5, 5, 55, 45]} for n in numbers],
            "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        }
        (folder / f"annotations/instances_{part}.json").write_text(json.dumps(content))
    return f"coco:{folder},size=64"


def folder_of_classes(folder: Path) -> str:
    """Two classes of eight pictures each, a part of them for testing, as class folders."""
    image = pytest.importorskip("PIL.Image")
    for number in range(16):
        place = folder / ("test" if number > 11 else "train") / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        image.new("RGB", (32, 32), (10 * number, 0, 255)).save(place / f"{number}.png")
    return f"folder:{folder},size=32"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "data", "metric", "network"),
    [
        ("chen17", voc, "ap50", "cnn-32-64-128-256-256"),
        ("lad", coco, "ap", "imagenet-resnet50"),
        ("cbd", folder_of_classes, "accuracy", "imagenet-resnet50"),
        ("kd", folder_of_classes, "accuracy", "resnet20"),
    ],
)
def test_the_papers_networks_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str, data: Any, metric: str, network: str
) -> None:
    assert command(tmp_path, method, "--data", data(tmp_path / "data"), *PAPER, "--variant", "method") == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["runs"][0][metric] <= 1 and found["configurations"]["method"]["student"] == network
