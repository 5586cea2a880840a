"""`mulde distil` on pictures: options of the session, and input that is refused before the first step."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mulde import cli
from mulde.engine.checkpoint import load_weights
from mulde.files import read_json
from mulde.vision.storage.student import open_student
from mulde.vision.training.budget import Budget
from tests.vision.distillation.tiny import words


@pytest.fixture
def distil(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `mulde distil` on a method in a folder, and returns code, output and messages."""

    def run(name: str, *further: str, **options: Any) -> tuple[int, str, str]:
        code = cli.main([*words(name, **options), "--out", str(tmp_path / "run"), *further])
        return code, *capsys.readouterr()

    return run


def test_the_best_weights_and_a_baseline(distil: Any, tmp_path: Path) -> None:
    code, out, err = distil("kd", "--select", "valid", "--baseline", "--json", epochs=3)
    assert code == 0, err
    found = json.loads(out)
    assert [row["model"] for row in found["rows"]] == ["student", "baseline", "teacher"]
    record = read_json(tmp_path / "run/fit/record.json") or {}
    lines = [json.loads(line) for line in (tmp_path / "run/fit/log.jsonl").read_text().splitlines()]
    best = max(line["valid/accuracy"] for line in lines)
    assert record["best_metrics"]["valid/accuracy"] == best == found["metrics"]["valid"]["accuracy"]
    assert "mulde: 128 images of 8 x 8 pixels, grey\n8 classes: disc 16, " in err
    assert "mulde: divided into 86 train, 10 valid, 32 test\n" in err
    assert "mulde:   kd, teacher: epoch 1, valid/accuracy" in err


def test_a_finished_run_is_a_teacher(distil: Any, tmp_path: Path) -> None:
    assert distil("supervised")[0] == 0
    before = (tmp_path / "run/model.safetensors").read_bytes()
    code, _, err = distil("kd", "--out", str(tmp_path / "small"), teacher=str(tmp_path / "run"))
    assert code == 0 and "mulde: teacher: accuracy" in err
    assert not (tmp_path / "small/teacher").exists() and (tmp_path / "small/fit").is_dir()
    assert (tmp_path / "run/model.safetensors").read_bytes() == before


def test_a_student_that_has_learned_nothing(distil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "the student is no better than chance on the test images (accuracy "
    code, _, err = distil("supervised", lr=1e-9)
    assert code == 0 and sentence in err
    monkeypatch.setattr("mulde.vision.distillation.job.accuracy_above_chance", lambda *_: (0.9, True))
    assert sentence not in distil("supervised", lr=1e-9)[2]


def test_other_settings_and_a_new_start(distil: Any, tmp_path: Path) -> None:
    assert distil("supervised")[0] == 0
    code, _, err = distil("supervised", epochs=2)
    assert code == 2 and "holds a run with other settings; give another --out, --restart, or the old settings" in err
    assert "training.epochs: was 1, is 2" in err
    code, _, err = distil("supervised", "--restart", epochs=2)
    assert code == 0 and "before-restart" in err
    assert len(list(tmp_path.glob("run.before-restart-*"))) == 1


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock of a training takes a twentieth of a second."""
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks) / 20)
    monkeypatch.setattr("mulde.engine.run.time", clock)
    monkeypatch.setattr("mulde.federated.rounds.time", clock)


@pytest.mark.usefixtures("ticking")
def test_a_budget_that_is_shared(distil: Any, tmp_path: Path) -> None:
    code, _, err = distil("kd", "--budget", "1", epochs=100000)
    assert code == 0, err
    records = [read_json(tmp_path / f"run/{stage}/record.json") or {} for stage in ("teacher", "fit")]
    assert [record["stopped_by"] for record in records] == ["budget", "budget"]
    weights = load_weights(tmp_path / "run/teacher/final.safetensors")
    code, _, err = distil("kd", "--budget", "3", epochs=100000)
    assert code == 0, err
    after = load_weights(tmp_path / "run/teacher/final.safetensors")  # the student depends on it
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert (read_json(tmp_path / "run/fit/record.json") or {})["steps"] > records[1]["steps"]


@pytest.mark.usefixtures("ticking")
def test_rounds_end_after_the_current_one(distil: Any, tmp_path: Path) -> None:
    code, _, err = distil("fedntd", "--budget", "1", rounds=100000)
    assert code == 0, err
    record = read_json(tmp_path / "run/rounds/record.json") or {}
    assert record["stopped_by"] == "budget" and 1 <= record["epochs"] < 100000
    assert len((tmp_path / "run/rounds/log.jsonl").read_text().splitlines()) == record["epochs"]
    assert open_student(tmp_path / "run").task == "classify"


def test_parts_of_a_budget() -> None:
    budget = Budget(100.0)
    assert budget.limit(0.25) == 25.0
    budget.spend(40.0)
    assert budget.limit(1.0) == 60.0 and Budget().limit(0.5) is None


def pictures(path: Path, labels: Any, channels: int = 3) -> str:
    shape = (len(labels), 8, 8, channels) if channels > 1 else (len(labels), 8, 8)
    np.savez(path, images=np.random.default_rng(0).integers(0, 255, shape, np.uint8), labels=np.asarray(labels))
    return f"npz:{path}"


def test_data_that_cannot_be_trained_on(distil: Any, tmp_path: Path) -> None:
    one = pictures(tmp_path / "one.npz", [0] * 40)
    code, _, err = distil("supervised", "--data", one)
    assert code == 2 and "one class alone" in err
    code, _, err = distil("lad", "--data", one)
    assert code == 2, err
    (tmp_path / "empty").mkdir()
    code, _, err = distil("supervised", "--data", f"folder:{tmp_path / 'empty'}")
    assert code == 2 and "Traceback" not in err, err
    (tmp_path / "empty/a.png").write_bytes(b"")
    code, _, err = distil("supervised", "--data", f"folder:{tmp_path}")
    assert code == 2 and "a.png cannot be read as a picture" in err and "leave it out with --skip-broken\n" in err
    code, _, err = distil("kd", "--keep", "partner")
    assert code == 2 and 'kd has no network called "partner"; its other networks: teacher' in err
    code, _, err = distil("fedntd", "--select", "valid")
    assert code == 2 and "--select valid" in err
    code, _, err = distil("kd", "--method", "jitnet")
    assert code == 2 and "mulde stream VIDEO" in err


def test_networks_and_options_are_checked_before_the_data_are_read(
    distil: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mulde.vision.distillation.data.load", lambda *_, **__: pytest.fail("data were read"))
    (tmp_path / "empty").mkdir()
    for teacher, sentence in (
        ("big", "big: no file, folder or network of this name"),
        ("resnet8:no.pth", "no.pth does not exist; expected a file with the weights of resnet8"),
        ("onnx:no.onnx", "no.onnx does not exist; expected an ONNX file"),
        ("no.py:teacher", "no.py does not exist"),
        ("hf:no", "no does not exist; expected a folder with config.json"),
        (str(tmp_path / "empty"), "model.json"),
    ):
        code, _, err = distil("kd", teacher=teacher)
        assert code == 2 and sentence in err, (teacher, err)
    for option, sentence in (("--device=tpu", "tpu"), ("--baseline", "does not suit supervised; leave it out")):
        code, _, err = distil("supervised", option)
        assert code == 2 and sentence in err, (option, err)


def test_a_method_of_the_user(distil: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from mulde.engine.protocol import Needs, Role\n"
        "from mulde.vision.methods.supervised import Supervised\n"
        'NEEDS = Needs("images", {"student": Role("logits")})\n'
        "def build(config, data, networks):\n"
        '    return Supervised(networks["student"])\n'
    )
    code, _, err = distil("supervised", "--method", str(file))
    assert code == 0, err
    assert open_student(tmp_path / "run").classes[0] == "disc"
