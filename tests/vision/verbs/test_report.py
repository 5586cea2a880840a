"""`mulde report`, `mulde show` and `mulde list runs` of students."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mulde.files import write_json
from mulde.report.images.worst import worst_errors
from mulde.vision.inference.labelled import labelled
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.storage.description import describe
from mulde.vision.storage.student import open_student
from tests.cli.conftest import Command

VOID = {"meta", "img", "link", "br", "path", "circle", "rect", "line"}


class Balanced(HTMLParser):
    """Fails at tags that are not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in found]


def test_a_page_with_the_worst_errors(command: Command, run: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(run, own)
    rows = [
        {"model": "student", "parameters": 2059, "MB": 0.008, "accuracy": 0.5},
        {"model": "teacher", "parameters": 90_000, "MB": 0.36, "accuracy": 0.75},
    ]
    write_json(own / "summary.json", {"kind": "images", "rows": rows})
    shutil.copytree(run, own / "teacher", ignore=shutil.ignore_patterns("fit"))
    out = tmp_path / "page.html"
    output = command("report", own, "--out", out)
    assert output.code == 0 and output.out.startswith(f"{out}: ")
    page = out.read_text()
    Balanced(page)
    found = json.loads(command("evaluate", own, "--json").out)
    assert f"<b>{found['accuracy']:.3f} <small>accuracy</small></b>" in page
    assert "big.onnx" in page and "/home/me" not in page
    assert "90,000" in page and page.count('data-name="ms, p95"') == 2
    wrong = found["images"] - round(found["accuracy"] * found["images"])
    assert f"{wrong} of {found['images']} pictures are classified wrongly" in page
    assert len(pictures(page)) == min(wrong, 12)
    data = labelled(TorchOutputs(open_student(own)), describe(own)).images
    assert any(np.array_equal(pictures(page)[0], image.permute(1, 2, 0)) for image in data.images)
    assert "Loss of student" in page and "network/hard" in page
    assert command("report", own, "--out", out).code == 2
    assert command("report", own, "--out", out, "--overwrite", "--no-latency").code == 0


def test_the_surest_errors_come_first(run: Path) -> None:
    model = TorchOutputs(open_student(run))
    data = labelled(model, describe(run), part="all")
    gallery = worst_errors(model, data)
    assert gallery is not None
    sure = [int(re.findall(r"\((\d+) %\)", caption)[0]) for _, caption in gallery.pictures]
    assert sure == sorted(sure, reverse=True) and len(sure) == 12
    logits = torch.from_numpy(model.compute(data.images.pixels().numpy())[0])
    wrong = logits.argmax(1) != data.images.labels
    assert sure[0] == round(100 * logits.softmax(1).amax(1)[wrong].max().item())


def test_pages_of_boxes_and_bundles(
    command: Command, run: Path, untrained: Callable[[str], Path], tmp_path: Path
) -> None:
    place = untrained("detect")
    assert command("report", place, "--out", tmp_path / "boxes.html", "--no-latency").code == 0
    page = (tmp_path / "boxes.html").read_text()
    Balanced(page)
    assert pictures(page)[0].shape == (240, 240, 3) and "true objects (green)" in page
    assert command("pack", run, "--out", tmp_path / "small.zip").code == 0
    words = ["report", run, tmp_path / "small.zip", "--out", tmp_path / "two.html", "--no-latency"]
    assert command(*words).code == 0
    assert "small.zip: student" in (tmp_path / "two.html").read_text()


def test_without_the_data_the_page_says_so(command: Command, untrained: Callable[[str], Path], tmp_path: Path) -> None:
    output = command("report", untrained("segment"), "--out", tmp_path / "page.html", "--no-latency")
    assert output.code == 0
    assert "Errors are not shown, because the images were not found" in (tmp_path / "page.html").read_text()


def test_show_and_list(command: Command, run: Path, photos: Path, untrained: Callable[[str], Path]) -> None:
    untrained("segment")
    output = command("show", run)
    assert output.out.startswith("cnn-8-16, supervised, 2,059 parameters\nclassify: disc, ring, square\n")
    assert "2 epochs in" in output.out and "network/hard" in output.out
    assert json.loads(command("show", run, "--json").out)["model"]["architecture"]["name"] == "cnn-8-16"
    output = command("list", "runs", photos.parent)
    assert "students of image methods\n" in output.out and re.search(r"supervised +cnn-8-16 +2,059", output.out)
    rows = json.loads(command("list", "runs", photos.parent, "--json").out)
    assert {row["network"] for row in rows} >= {"cnn-8-16", "JITNetwork"}
