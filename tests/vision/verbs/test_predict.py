"""`mulde predict` of students: classes, boxes, masks and embeddings of pictures."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mulde.vision
from mulde.errors import UsageError
from mulde.vision.storage.student import open_student
from tests.cli.conftest import Command
from tests.vision.small_students import noise


def test_classes_of_a_folder(command: Command, run: Path, photos: Path, tmp_path: Path) -> None:
    output = command("predict", run, photos, "--top", "3", "--json")
    rows = json.loads(output.out)["answers"]
    names = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*.png"))
    assert len(rows) == 3 * len(names) and {row["picture"] for row in rows} == set(names)
    model = mulde.vision.load(run)
    for first in (0, 30):
        three = rows[first : first + 3]
        logits = model(model.transform(photos / three[0]["picture"]).unsqueeze(0))
        expected = logits.softmax(1)[0].sort(descending=True)
        assert [row["class"] for row in three] == [model.classes[i] for i in expected.indices.tolist()]
        assert [row["probability"] for row in three] == pytest.approx(expected.values.tolist(), abs=1e-6)
    out = tmp_path / "answers.csv"
    assert command("predict", run, photos, "--out", out).out == f"{out}: answers for {len(names)} pictures\n"
    with out.open() as stream:
        assert [row["picture"] for row in csv.DictReader(stream)] == [row["picture"] for row in rows[::3]]
    assert command("predict", run, photos, "--out", out).code == 2


def test_pictures_of_any_size_in_archives_and_broken_ones(command: Command, run: Path, tmp_path: Path) -> None:
    noise(tmp_path / "large.png", 90, 31)
    noise(tmp_path / "small.jpg", 5, 7)
    (tmp_path / "broken.png").write_bytes((tmp_path / "large.png").read_bytes()[:200])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("large.png", "small.jpg", "broken.png"):
            archive.write(tmp_path / name, name)
    for place in (tmp_path / "all.zip", tmp_path):
        output = command("predict", run, place)
        assert output.code == 2 and "broken.png" in output.err and output.err.count("\n") == 1
        assert "leave it out with --skip-broken" in output.err
        output = command("predict", run, place, "--skip-broken", "--json")
        found = json.loads(output.out)
        assert [row["picture"] for row in found["answers"]] == ["large.png", "small.jpg"]
        assert len(found["broken"]) == 1 and "left out" in output.err
    assert command("predict", run, tmp_path / "large.png", tmp_path / "small.jpg").code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing.png"], "nothing.png: no such picture or folder"),
        (["empty"], "empty: expected pictures in it, found none"),
        (["text.txt"], "text.txt: expected a picture such as photo.jpg"),
        ([], "mulde predict needs"),
        (["a.png", "--top", "4"], "--top 4: the student knows 3 classes"),
    ],
)
def test_what_is_no_picture(
    words: list[str], sentence: str, command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("a")
    noise(tmp_path / "a.png", 12, 12)
    output = command("predict", run, *words)
    assert output.code == 2 and sentence in output.err


def test_boxes_are_in_pixels_of_the_picture(command: Command, untrained: Callable[[str], Path], tmp_path: Path) -> None:
    place, picture = untrained("detect"), noise(tmp_path / "wide.png", 24, 24)
    Image.open(picture).resize((72, 48), Image.Resampling.NEAREST).save(tmp_path / "larger.png")
    found = [
        json.loads(command("predict", place, path, "--least", "0.01", "--json").out)["answers"]
        for path in (picture, tmp_path / "larger.png")
    ]
    assert len(found[0]) == len(found[1]) > 3
    for small, large in zip(*found, strict=True):
        assert small["class"] == large["class"]
        for side, factor in (("left", 3), ("right", 3), ("top", 2), ("bottom", 2)):
            assert large[side] == pytest.approx(factor * small[side], abs=1e-3)
    assert command("predict", place, picture, "--least", "1").out.split()[-2:] == ["wide.png", "-"]


def test_masks_are_pictures(command: Command, untrained: Callable[[str], Path], tmp_path: Path) -> None:
    place, out = untrained("segment"), tmp_path / "masks"
    for name, shape in (("a.png", (40, 40)), ("b.png", (50, 61))):
        noise(tmp_path / name, *shape)
    rows = json.loads(command("predict", place, tmp_path / "a.png", tmp_path / "b.png", "--out", out, "--json").out)
    for name, shape in (("000000-a.png", (40, 40)), ("000001-b.png", (50, 61))):
        mask = np.asarray(Image.open(out / name))
        assert mask.shape == shape and mask.max() < 3
    student = open_student(place)
    model = mulde.vision.load(place)
    with torch.no_grad():
        expected = student.network(model.transform(tmp_path / "a.png").unsqueeze(0)).logits.argmax(1)[0]
    assert np.array_equal(np.asarray(Image.open(out / "000000-a.png")), expected.numpy())
    fractions = [row["fraction"] for row in rows["answers"] if row["picture"] == "a.png"]
    assert sum(fractions) == pytest.approx(1)


def test_embeddings(command: Command, untrained: Callable[[str], Path], tmp_path: Path) -> None:
    picture = noise(tmp_path / "a.png", 12, 12)
    output = command("predict", untrained("embed"), picture)
    assert output.code == 2 and "--out FILE.csv writes them" in output.err
    [row] = json.loads(command("predict", untrained("embed"), picture, "--json").out)["answers"]
    model = mulde.vision.load(untrained("embed"))
    expected = model(model.transform(picture).unsqueeze(0))[0].tolist()
    assert list(row.values())[1:] == pytest.approx(expected)


def test_load_gives_a_plain_module(run: Path, photos: Path) -> None:
    model = mulde.vision.load(run)
    path = next(photos.glob("*/*.png"))
    with Image.open(path) as picture:
        array = np.asarray(picture)
        inputs = [model.transform(each) for each in (path, str(path), picture, array)]
    assert all(torch.equal(inputs[0], each) for each in inputs)
    logits = model(torch.stack(inputs))
    assert isinstance(logits, torch.Tensor) and logits.shape == (4, 3) and not model.training
    assert model.classes == ("disc", "ring", "square")
    grey = array[..., 0]
    assert torch.equal(model.transform(grey), model.transform(np.stack([grey] * 3, 2)))
    for wrong in (array.astype(np.float32), np.zeros((4, 4, 4), np.uint8), 3):
        with pytest.raises(UsageError, match="expected a picture"):
            model.transform(wrong)
