"""Every method on pictures of the catalogue through `mulde distil`: a run folder with a student that opens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from mulde import catalogue, cli
from mulde.config import read
from mulde.config.fields import leaves_of
from mulde.files import read_json
from mulde.vision.distillation.data import read_split
from mulde.vision.distillation.method_file import PRESETS, configured, open_method
from mulde.vision.storage.student import open_student
from tests.vision.distillation.tiny import data_for, words

METHODS = [name for name, verb in catalogue.verbs_of_methods().items() if verb == "distil"]
ON_IMAGES = [
    name for name in METHODS if catalogue.path_of("methods", name).is_relative_to(catalogue.ROOT / "mulde/vision")
]
OTHERS = {
    "byot": "exits",
    "cbd": "teacher_0",
    "dcm": "partner",
    "fedx": "untrained",
    "kd": "teacher",
    "simclrv2": "finetuned",
    "born_again": "generation-0",
}
"""A method -> another network that it can keep."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a method -> the folder of its run."""

    @cache
    def folder(name: str) -> Path:
        out = tmp_path_factory.mktemp("runs") / name
        keep = ["--keep", OTHERS[name]] if name in OTHERS else []
        assert cli.main([*words(name), *keep, "--out", str(out)]) == 0
        return out

    return folder


@pytest.mark.parametrize("name", ON_IMAGES)
def test_a_student_is_kept(name: str, run: Callable[[str], Path]) -> None:
    folder, module = run(name), open_method(name)
    student, summary = open_student(folder), read_json(folder / "summary.json") or {}
    data = read_split(module.NEEDS, data_for(module), 0)
    with torch.no_grad():
        found = student.network(data.test.pixels(slice(2)))
    assert len(found.logits) == 2
    assert (student.task, list(student.classes)) == (summary["task"], summary["data"]["classes"])
    rows = {row["model"]: row for row in summary["rows"]}
    assert rows["student"]["parameters"] == sum(parameter.numel() for parameter in student.network.parameters())
    metrics = {key: value for key, value in rows["student"].items() if key in summary["metrics"]["test"]}
    assert metrics == summary["metrics"]["test"] and metrics
    settings = read(folder / "settings.yaml")
    assert settings == summary["settings"] and settings["method"] == name
    if name in OTHERS:
        assert open_student(folder / OTHERS[name]).task == student.task


@pytest.mark.parametrize("name", ["simclrv2", "fedntd"])
def test_the_settings_give_the_same_run(
    name: str, run: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(name)
    before = (folder / "model.safetensors").read_bytes()
    assert cli.main(["distil", "--config", str(folder / "settings.yaml")]) == 0
    assert f"finished before and reused: {folder}" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ON_IMAGES)
def test_every_option_is_one_value(name: str) -> None:
    """Parts of one Config do not share names by accident."""
    counts = Counter(leaf.name for leaf in leaves_of(open_method(name).Config))
    assert [option for option, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", ON_IMAGES)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_configurations(name: str, preset: str) -> None:
    method = open_method(name)
    assert isinstance(configured(method, preset), method.Config)
