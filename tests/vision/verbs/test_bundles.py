"""`mulde pack` and `mulde export` of students: bundles, their precision, ONNX, and bundles of strangers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mulde import cli
from mulde.errors import UsageError
from mulde.files import from_json
from mulde.storage import container
from mulde.vision.export import static
from mulde.vision.export.onnx import largest_difference, refuse_difference, to_onnx
from mulde.vision.storage import bundle
from mulde.vision.storage.student import open_student
from tests.cli.conftest import Command
from tests.kge.storage.strangers import DEEP, signed, written


def weights(place: Path) -> dict[str, torch.Tensor]:
    return open_student(place).network.state_dict()


def test_a_bundle_replaces_the_run_folder(command: Command, run: Path, photos: Path, tmp_path: Path) -> None:
    place = tmp_path / "small.zip"
    output = command("pack", run, "--out", place)
    assert output.code == 0 and f"{place}: " in output.out
    assert all(torch.equal(weights(run)[name], value) for name, value in weights(place).items())
    for words in (["evaluate"], ["predict"]):
        pictures = [photos] if words == ["predict"] else []
        assert command(*words, run, *pictures).out == command(*words, place, *pictures).out
    card = command("show", place).out
    assert card.startswith("# small\n\ncnn-8-16, supervised") and "| test | float32 |" in card
    assert card.count("- method: ") == card.count("- data: ") == 1 and "- out: " not in card
    assert "- teacher: ['big.onnx']" in card
    assert command("pack", place, "--out", tmp_path / "again").code == 0
    assert bundle.read(tmp_path / "again").file("model.safetensors") == bundle.read(place).file("model.safetensors")
    assert command("pack", run, "--out", place).code == 2


@pytest.mark.parametrize(("form", "most"), [("fp16", 5e-4), ("int8", 1 / 254)])
def test_fewer_bits(form: str, most: float, command: Command, run: Path, tmp_path: Path) -> None:
    place = tmp_path / "small.zip"
    words = ["export", run, "--to", form, "--out", place, "--max-loss", "1", "--json"]
    found = json.loads(command(*words).out)
    assert found["metrics"].keys() == {"valid", "test"} and found["latency"][0]["engine"] == "torch"
    assert found["metrics"]["test"]["accuracy"] == json.loads(command("evaluate", place, "--json").out)["accuracy"]
    for name, value in weights(place).items():
        exact = weights(run)[name]
        if exact.is_floating_point() and (form == "fp16" or exact.ndim > 1):
            largest = (
                exact.abs() if form == "fp16" else exact.flatten(1).abs().amax(1).view(-1, *[1] * (exact.ndim - 1))
            )
            assert ((value - exact).abs() <= most * largest + 1e-6).all()
            assert not torch.equal(value, exact)
        else:
            assert torch.equal(value, exact)
    size = len(bundle.read(place).file("model.safetensors")) / (run / "model.safetensors").stat().st_size
    assert size < {"fp16": 0.7, "int8": 0.6}[form]


def test_a_loss_above_the_limit_is_not_written(command: Command, run: Path, tmp_path: Path) -> None:
    output = command("export", run, "--to", "int8", "--out", tmp_path / "no.zip", "--max-loss", "-1", "--no-latency")
    assert output.code == 2 and "more than --max-loss -1; nothing was written" in output.err
    assert not (tmp_path / "no.zip").exists()


@pytest.fixture(scope="module")
def onnx_bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student in ONNX."""
    pytest.importorskip("onnxscript")
    place = tmp_path_factory.mktemp("onnx") / "small-onnx.zip"
    assert cli.main(["export", str(run), "--to", "onnx", "--out", str(place)]) == 0
    return place


def test_onnx_computes_what_torch_computes(command: Command, run: Path, onnx_bundle: Path, photos: Path) -> None:
    answers = [json.loads(command("predict", each, photos, "--json").out)["answers"] for each in (run, onnx_bundle)]
    assert [row["class"] for row in answers[0]] == [row["class"] for row in answers[1]]
    ours, theirs = ([row["probability"] for row in rows] for rows in answers)
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert command("evaluate", onnx_bundle).out == command("evaluate", run).out
    output = command("pack", onnx_bundle)
    assert output.code == 2 and "which only `mulde predict`" in output.err


def test_another_network_in_onnx_is_noticed(run: Path, onnx_bundle: Path) -> None:
    student = open_student(run)
    content = bundle.read(onnx_bundle).file("model.onnx")
    assert largest_difference(content, student) < 1e-5
    with torch.no_grad():
        next(student.network.parameters()).mul_(1.5)
    with pytest.raises(UsageError, match="outputs differ by"):
        refuse_difference(content, student)


def test_what_cannot_be_exported(command: Command, untrained: Callable[[str], Path], tmp_path: Path) -> None:
    output = command("export", untrained("detect"), "--to", "onnx", "--out", tmp_path / "boxes.zip")
    assert output.code == 2 and "there is no ONNX export of detectors" in output.err and not list(tmp_path.iterdir())
    pytest.importorskip("onnxscript")
    with pytest.raises(UsageError, match="found one for any; train it with size=N"):
        to_onnx(replace(open_student(untrained("segment")), size=None))


ALONE = """
import json, sys, zipfile
import numpy as np, onnxruntime
from PIL import Image
place, path = sys.argv[1:]
archive = zipfile.ZipFile(place)
about = json.loads(archive.read("preprocessing.json"))
picture = Image.open(path).convert("RGB")
picture = picture.resize((about["size"]["columns"], about["size"]["rows"]), Image.Resampling.BOX)
values = (np.asarray(picture, np.float32) / 255 - np.float32(about["mean"])) / np.float32(about["deviation"])
session = onnxruntime.InferenceSession(archive.read("model.onnx"), providers=["CPUExecutionProvider"])
logits = session.run([about["output"]], {about["input"]: values.transpose(2, 0, 1)[None]})[0][0]
print(about["classes"][logits.argmax()], np.exp(logits - logits.max()).max() / np.exp(logits - logits.max()).sum())
sys.modules["torch"] = None
from mulde import cli
sys.exit(cli.main(["predict", place, path]))
"""
"""Inference by numpy and onnxruntime alone, as preprocessing.json says, and by `mulde predict` without torch."""


def test_onnx_needs_no_torch(command: Command, run: Path, onnx_bundle: Path, photos: Path) -> None:
    picture = next(photos.glob("*/*.png"))
    [expected] = json.loads(command("predict", run, picture, "--json").out)["answers"]
    words = [sys.executable, "-c", ALONE, str(onnx_bundle), str(picture)]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    name, probability = result.stdout.splitlines()[0].split()
    assert (name, float(probability)) == (expected["class"], pytest.approx(expected["probability"], abs=1e-5))
    assert expected["class"] in result.stdout.splitlines()[-1]


def test_static_quantisation(onnx_bundle: Path, run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch,
                             command: Command, tmp_path: Path) -> None:  # fmt: skip
    pytest.importorskip("onnxruntime.quantization")
    content = bundle.read(onnx_bundle).file("model.onnx")
    monkeypatch.setattr(static, "to_onnx", lambda student: content)
    place = tmp_path / "fast.zip"
    output = command("export", run, "--to", "onnx-int8", "--out", place, "--max-loss", "1", "--json")
    assert output.code == 0 and output.err == ""
    found = json.loads(output.out)
    assert (found["stored"], found["latency"][1]["engine"]) == ("int8", "ONNX Runtime, int8")
    answers = [json.loads(command("predict", each, photos, "--json").out)["answers"] for each in (run, place)]
    same = np.mean([a["class"] == b["class"] for a, b in zip(*answers, strict=True)])
    assert same > 0.8


@pytest.fixture(scope="module")
def good(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All files of a bundle."""
    from mulde.vision.export.packing import Original, pack
    from mulde.vision.storage.description import describe

    place = tmp_path_factory.mktemp("bundle") / "good"
    pack(Original(run, open_student(run), describe(run), tell=lambda text: None), "good").write(place)
    return {path.name: path.read_bytes() for path in place.iterdir()}


def refused(place: Path, *words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_student(place)
    sentence = str(caught.value)
    assert "\n" not in sentence and place.name in sentence
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("form", ["toy.zip", "toy"])
def test_files_of_strangers(form: str, good: dict[str, bytes], tmp_path: Path) -> None:
    open_student(written(tmp_path / f"good-{form}", signed(good)))
    for name in ("README.md", "model.json", "model.safetensors"):
        rest = {other: content for other, content in good.items() if other != name}
        refused(written(tmp_path / f"none-{name}-{form}", signed(rest)), name)
        refused(written(tmp_path / f"other-{name}-{form}", {**good, name: b"{}"}), name)
        if name != "README.md":
            for i, content in enumerate((b"", DEEP, b"[]", b"{}", b"null")):
                refused(written(tmp_path / f"{i}-{name}-{form}", signed({**rest, name: content})), name)
    zeros = signed({**good, "README.md": b"\0" * (2 << 20)})
    refused(written(tmp_path / f"large-{form}", zeros), "expected at most 1,048,576 bytes")
    refused(written(tmp_path / f"latin-{form}", signed({**good, "README.md": b"caf\xe9"})), "expected text in UTF-8")


def test_a_zip_that_expands(good: dict[str, bytes], tmp_path: Path) -> None:
    bomb = signed({**good, "model.safetensors": b"\0" * (40 << 20)})
    refused(written(tmp_path / "bomb.zip", bomb), "model.safetensors would expand", "more than 200 times")


def test_sizes_are_compared_before_a_network_is_made(good: dict[str, bytes], tmp_path: Path) -> None:
    description = from_json(good["model.json"])
    description["architecture"]["name"] = "cnn-60000-60000"
    files = signed({**good, "model.json": json.dumps(description).encode()})
    refused(written(tmp_path / "huge.zip", files), "not the weights of this network", "[3, 60000]")


def test_a_graph_is_not_a_student(good: dict[str, bytes], tmp_path: Path, command: Command) -> None:
    files = signed(good, lambda manifest: manifest.update(kind="model"))
    refused(written(tmp_path / "graph.zip", files), "expected 'images' or 'images-onnx' in kind")
    assert container.read_manifest(written(tmp_path / "good.zip", good))["kind"] == "images"
    output = command("tune", tmp_path / "good.zip")
    assert output.code == 2
