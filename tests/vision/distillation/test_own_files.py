"""Method files of the user's on images: what would have no effect is refused, an edited file is another method."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulde.cli.distil import is_for_images
from mulde.engine import ConfigurationChanged
from mulde.errors import UsageError
from mulde.vision.distillation.method_file import open_method
from mulde.vision.models import network
from mulde.vision.storage.description import describe
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.run import networks_of, run_method
from mulde.vision.training.session import Session
from tests.vision import toys

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/my_own_image_method.py"
CLASS = "class Mine(rfs.RFS):\n    pass\n"
BUILD = "def build(config, data, networks):\n    return Mine(networks['student'], None, config, data.train)\n"
OF_RFS = "run is imported from mulde.vision.methods.rfs and trains the method that is defined there, so Mine of own.py"


@pytest.mark.parametrize(
    ("imported", "text", "sentence"),
    [
        ("Config, NEEDS, networks, run", CLASS + BUILD, OF_RFS),
        ("Config, NEEDS, networks, build, run", CLASS, OF_RFS),
        (
            "Config, NEEDS, networks, build",
            CLASS,
            "copy the whole file of mulde.vision.methods.rfs and change the copy",
        ),
        (
            "Config, NEEDS, networks",
            CLASS.replace("pass", "def predict(self, batch):\n        return 2 * super().predict(batch)") + BUILD,
            "predict of Mine has no effect",
        ),
        ("Config, NEEDS, networks", CLASS + BUILD, ""),
        ("Config, NEEDS, networks, build, run", "RECOMMENDED = {}\n", ""),
    ],
)
def test_parts_that_would_not_be_used(imported: str, text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"from mulde.vision.methods import rfs\nfrom mulde.vision.methods.rfs import {imported}\n{text}")
    if not sentence:
        assert open_method(file).Config.__name__ == "Config"
        return
    with pytest.raises(UsageError) as refusal:
        open_method(file)
    assert str(refusal.value).startswith(f"{file}: ") and sentence in str(refusal.value)


def test_an_edited_file_is_another_method(tmp_path: Path) -> None:
    file, training = tmp_path / "own.py", Training(1, 12, "none", OptimizerSteps("adam", 1e-3))
    text = EXAMPLE.read_text(encoding="utf-8")
    teacher = network("cnn-4-6", toys.toy_split().classes, 1)

    def trained() -> bool:
        method = open_method(file)
        config = method.Config(student="cnn-4-6", training=training)
        found = run_method(method, config, toys.toy_split(), Session(0, tmp_path / "run"), {"teacher": teacher})
        return bool(found.record and found.record.reused)

    file.write_text(text)
    assert (trained(), trained()) == (False, True)
    file.write_text(text.replace("mse_loss", "l1_loss"))
    with pytest.raises(ConfigurationChanged) as change:
        trained()
    assert "the file of the method was edited" in str(change.value.of_run(tmp_path))
    method = open_method(file)
    with pytest.raises(UsageError, match="the method needs a network for the role teacher; give one, --teacher"):
        networks_of(method, method.Config(student="cnn-4-6"), toys.toy_split(), Session(), {})


def test_the_data_decide_about_a_file_without_needs(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def build(config, data, networks): ...\n")
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/1.JPG").touch()
    for data in ("digits", "folder:here,size=8", str(tmp_path / "photos"), "scenes:40,size=24"):
        assert is_for_images({"method": str(file), "data": data})
    for data in ("nations", str(tmp_path / "photos/dog"), None):
        assert not is_for_images({"method": str(file), "data": data})


def test_a_stage_is_no_student(tmp_path: Path) -> None:
    (tmp_path / "teacher").mkdir()
    with pytest.raises(UsageError, match="finish the training first"):
        describe(tmp_path / "teacher")
    (tmp_path / "teacher/record.json").touch()
    with pytest.raises(
        UsageError, match="repeat its command with --keep teacher, which saves the network of the stage"
    ):
        describe(tmp_path / "teacher")
