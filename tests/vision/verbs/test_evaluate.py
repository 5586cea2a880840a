"""`mulde evaluate` of students: metrics of every task, and the data that it takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data import loading
from mulde.vision.data.images import Images
from mulde.vision.data.loading import load
from mulde.vision.data.splitting import split
from mulde.vision.inference.evaluation import evaluate
from mulde.vision.inference.labelled import Labelled, labelled
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.storage.description import describe
from mulde.vision.storage.student import open_student
from mulde.vision.training.detection import detection_metrics
from mulde.vision.training.evaluation import network_accuracy, probe_accuracy
from tests.cli.conftest import Command


def test_the_test_part_of_the_training_data(command: Command, run: Path, photos: Path) -> None:
    found = json.loads(command("evaluate", run, "--json").out)
    parts = split(load(f"folder:{photos}"), 0).standardised()
    assert found["accuracy"] == network_accuracy(open_student(run).network, parts.test)
    assert (found["split"], found["images"]) == ("test", len(parts.test))
    assert sum(map(sum, found["confusion"])) == len(parts.test)
    assert np.trace(found["confusion"]) / len(parts.test) == pytest.approx(found["accuracy"])
    recall = [each["recall"] for each in found["by_class"].values()]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert 0 <= found["ece"] <= 1
    text = command("evaluate", run).out
    assert text.startswith(f"folder:{photos}, test part: {len(parts.test)} images")
    assert "rows: the true class, columns: the predicted class" in text


def test_other_data_are_taken_whole_and_by_the_names_of_classes(
    command: Command, run: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos / "square", tmp_path / "few/square")
    found = json.loads(command("evaluate", run, "--data", f"folder:{tmp_path / 'few'}", "--json").out)
    assert (found["split"], found["images"]) == ("all", len(list((photos / "square").iterdir())))
    assert found["by_class"]["disc"] == {"images": 0, "recall": None}
    (tmp_path / "few/square").rename(tmp_path / "few/hexagon")
    output = command("evaluate", run, "--data", f"folder:{tmp_path / 'few'}")
    assert output.code == 2 and "knows the classes disc, ring, square, and the data have hexagon" in output.err
    (tmp_path / "few/hexagon/a.png").write_bytes(b"")
    output = command("evaluate", run, "--data", f"folder:{tmp_path / 'few'}")
    assert output.code == 2 and output.err.endswith("leave it out with --skip-broken\n") and "=1" not in output.err


def test_flatness_of_a_classifier(command: Command, run: Path, photos: Path, untrained: Callable[[str], Path]) -> None:
    first, fitted = json.loads(command("evaluate", run, "--flatness", "--json").out)["flatness"]
    assert first["temperature"] == 1 and fitted["temperature"] != 1
    assert set(first) == {"temperature", "hessian_trace", "largest_eigenvalue", "filter_sharpness", "ascent_sharpness"}
    assert first["ascent_sharpness"] > 0
    output = command("evaluate", untrained("embed"), "--data", f"folder:{photos}", "--flatness")
    assert output.code == 2 and "flatness is measured on a classifier that torch computes" in output.err


def test_another_classifier_and_pictures_from_outside(
    command: Command, run: Path, photos: Path, tmp_path: Path, untrained: Callable[[str], Path]
) -> None:
    shutil.copytree(photos / "square", tmp_path / "others/hexagon")
    words = ["evaluate", run, "--other", run, "--outside", f"folder:{tmp_path / 'others'}"]
    found = json.loads(command(*words, "--json").out)
    assert (found["agreement"]["agreement"], found["agreement"]["kl"]) == (1, 0)
    assert found["agreement"]["both_right"] == found["accuracy"]
    assert [row["score"] for row in found["outside"]] == ["maximum probability", "energy"]
    assert all(0 <= row["auroc"] <= 1 for row in found["outside"])
    output = command("evaluate", run, "--other", untrained("embed"), "--data", f"folder:{photos}")
    assert output.code == 2 and "--other is for classifiers; this model's task is embed" in output.err


def test_few_shots_and_a_watermark(command: Command, run: Path, photos: Path, tmp_path: Path) -> None:
    """Classes of their own; the same tasks in every call; views and lengths are named beside the figures."""
    for old in photos.iterdir():
        shutil.copytree(old, tmp_path / "own" / f"my-{old.name}")
    data = ("evaluate", run, "--data", f"folder:{tmp_path / 'own'}", "--episode-queries", "4", "--episodes")
    words = (*data, "3way1shot", "--episode-count", "6")
    found = json.loads(command(*words, "--json").out)
    assert found == json.loads(command(*words, "--json").out)
    assert [row["head"] for row in found["heads"]] == ["prototype", "logistic", "cosine"]
    assert all(0 < row["accuracy"] <= 1 and row["interval_95"] >= 0 for row in found["heads"])
    more = command(*words, "--support-views", "5", "--no-normalise-features").out
    assert "6 episodes of 3way1shot" in more and "as they are; 5 views of each labelled image" in more
    refused = command(*data, "9way1shot")
    assert refused.code == 2 and "needs 9 classes" in refused.err
    (tmp_path / "key").write_text("secret")
    marked = json.loads(command("evaluate", run, "--watermark", tmp_path / "key", "--json").out)["watermark"]
    assert set(marked) == {"correlation", "p_value", "keys"} and 0.001 <= marked["p_value"] <= 1
    assert "watermark not found: correlation" in command("evaluate", run, "--watermark", tmp_path / "key").out


def test_a_part_is_divided_as_in_the_training(run: Path) -> None:
    model, about = TorchOutputs(open_student(run)), describe(run)
    own = labelled(model, about, part="valid").images
    other = labelled(model, {**about, "settings": {"seed": 5}}, part="valid").images
    named = labelled(model, {**about, "data": {**about["data"], "seed": 5}}, part="valid").images
    assert own.checksum() != other.checksum() == named.checksum()


def test_boxes(command: Command, untrained: Callable[[str], Path]) -> None:
    place = untrained("detect")
    found = json.loads(command("evaluate", place, "--json").out)
    student = open_student(place)
    data = labelled(TorchOutputs(student), describe(place))
    assert found["ap"] == pytest.approx(detection_metrics(student.network, data.images)["ap"])
    assert found["images"] == len(data.images)


def test_masks(untrained: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels without a class do not count; IoU is over the pixels of all pictures."""
    place = untrained("segment")
    model = TorchOutputs(open_student(place))
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, 3, 40, 40), generator=draw, dtype=torch.uint8)
    data = Images(images, torch.zeros(3, 40, 40, dtype=torch.int64), model.classes)
    monkeypatch.setattr(loading, "load_masks", lambda spec: data, raising=False)
    scaled = labelled(model, describe(place), "masks:any").images
    predicted = np.concatenate([model.compute(scaled.pixels(torch.tensor([i])).numpy())[0].argmax(1) for i in range(3)])
    truth = torch.from_numpy(predicted)
    assert evaluate(model, Labelled(replace(scaled, labels=truth)))["mean_iou"] == 1
    truth = truth.clone()
    truth[0, :20] = -1
    truth[1:] = (truth[1:] + 1) % 3
    found = evaluate(model, Labelled(replace(scaled, labels=truth)))
    right, wrong = predicted[0, 20:].ravel(), predicted[1:].ravel()
    for i, name in enumerate(model.classes):
        hits, union = (right == i).sum(), (right == i).sum() + (wrong == i).sum() + ((wrong + 1) % 3 == i).sum()
        assert found["by_class"][name]["iou"] == (pytest.approx(hits / union) if union else None)


def test_embeddings(command: Command, untrained: Callable[[str], Path], photos: Path) -> None:
    place = untrained("embed")
    found = json.loads(command("evaluate", place, "--data", f"folder:{photos}", "--json").out)
    student = open_student(place)
    data = labelled(TorchOutputs(student), describe(place), f"folder:{photos}")
    assert found["probe_accuracy"] == pytest.approx(probe_accuracy(student.network, data.train, data.images))
    own = evaluate(TorchOutputs(student), Labelled(data.train, data.train, "train"))
    assert own["neighbour_accuracy"] > found["neighbour_accuracy"]  # every picture is its own nearest neighbour
    output = command("evaluate", place, "--data", f"folder:{photos}", "--split", "all")
    assert output.code == 2 and "give data with parts, or --split test" in output.err


def test_a_network_of_the_users(command: Command, run: Path, photos: Path, tmp_path: Path) -> None:
    from mulde.vision.storage.student import Student, save_student
    from tests.vision.small_students import about

    code = (
        "from torch import nn\n"
        "def small(classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(4, classes))\n"
    )
    (tmp_path / "mine.py").write_text(code)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    student = Student(
        namespace["small"](3), "classify", ("disc", "ring", "square"), 3, (12, 12), (0.5,) * 3, (1.0,) * 3
    )
    save_student(tmp_path / "own", student, about("kd", f"folder:{photos}"))
    output = command("evaluate", tmp_path / "own")
    assert output.code == 2 and "is a network of your own" in output.err and "network=" in output.err
    output = command("evaluate", tmp_path / "own", "--network", f"{tmp_path / 'mine.py'}:small")
    assert output.code == 0, output.err
    with pytest.raises(UsageError, match="in memory"):
        labelled(TorchOutputs(student), {**describe(tmp_path / "own"), "data": {"source": ""}})
