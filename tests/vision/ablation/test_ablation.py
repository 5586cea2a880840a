"""Ablation studies: variants, paired seeds, statistics, and the command `mulde ablate`."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mulde import catalogue
from mulde.cli.ablate import Config as AblateConfig
from mulde.cli.ablate import compose
from mulde.config.command_line import parse
from mulde.engine.protocol import Trained
from mulde.vision.ablation import statistics
from mulde.vision.ablation.study import VARIANTS, Study
from mulde.vision.data import Split
from mulde.vision.methods import fedntd, supervised
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys
from tests.vision.ablation.conftest import cifar, command


@dataclasses.dataclass(frozen=True)
class Config:
    gain: float = 0.0
    training: Training = dataclasses.field(default_factory=lambda: Training(epochs=20))


class Fake(ModuleType):
    """A method whose accuracy depends on its configuration and the seed only."""

    def __init__(self) -> None:
        super().__init__("fake")
        self.runs: list[tuple[int, float, Session]] = []

    def build(self, config: Config, data: Split, networks: dict[str, Any]) -> Any:
        raise AssertionError("`run` is preferred")

    def run(self, config: Config, data: Split, session: Session, networks: dict[str, Any]) -> Trained:
        assert data.seed == session.seed
        self.runs.append((session.seed, config.gain, session))
        accuracy = 0.5 + 0.1 * session.seed + config.gain * (1 + 0.1 * session.seed)
        session.forwards.extend([80, 20] if config.gain == 0.2 else [50])
        return Trained(nn.Identity(), "classify", figures={"accuracy": accuracy})


STUDY = Study(
    config=Config(),
    variants={
        "baseline": {"gain": 0.0},
        "method": {"gain": 0.2},
        "weight 0": {},
        "control": {"gain": -0.1},
        "longer": {"training": Training(epochs=40)},
    },
    metric="accuracy",
    evaluate=lambda config, data, trained: trained.figures,
    data="shapes:80,size=8",
    train=48,
    test=16,
)


def test_runs_are_paired_and_equal_variants_are_computed_once() -> None:
    fake = Fake()
    rows = list(statistics.runs(fake, STUDY, [0, 2], VARIANTS, folder=Path("work")))
    assert [(row["seed"], row["variant"]) for row in rows] == [
        (seed, variant) for seed in (0, 2) for variant in VARIANTS
    ]
    assert [gain for _, gain, _ in fake.runs] == [0.0, 0.2, -0.1, 0.0] * 2
    assert fake.runs[1][2].folder == Path("work/seed-0/method")
    assert rows[2]["accuracy"] == rows[0]["accuracy"]


def test_a_stage_that_all_variants_share_is_computed_once(tmp_path: Path) -> None:
    fake = Fake()
    list(statistics.runs(fake, STUDY, [0, 1], ["baseline", "method"], folder=tmp_path))
    shared = [session.shared().folder for *_, session in fake.runs]
    assert shared == [tmp_path / f"seed-{seed}/common" for seed in (0, 0, 1, 1)]
    assert Session(folder=tmp_path).shared().folder == tmp_path and Session().shared().folder is None


def test_summary_is_of_paired_differences() -> None:
    lines = {
        line["variant"]: line
        for line in statistics.summary(list(statistics.runs(Fake(), STUDY, range(3), VARIANTS)), "accuracy")
    }
    differences = np.array([0.2, 0.22, 0.24])
    margin = 4.302653 * differences.std(ddof=1) / math.sqrt(3)  # Student's t, two degrees of freedom
    found = lines["method"]
    assert (found["difference"], found["from"], found["to"]) == pytest.approx((0.22, 0.22 - margin, 0.22 + margin))
    assert found["wins"] == "3/3" and lines["control"]["wins"] == "0/3"
    assert lines["baseline"]["accuracy"] == pytest.approx(0.6) and lines["baseline"]["sd"] == pytest.approx(0.1)
    assert "difference" not in lines["baseline"] and lines["weight 0"]["difference"] == 0
    assert [lines[name]["cost"] for name in ("baseline", "method", "weight 0")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("difference", "control", "expected"),
    [
        ((0.1, 0.2), 0.05, "the method is above its baseline; the control keeps 33 % of the gain"),
        ((0.1, 0.2), -0.05, "the method is above its baseline; the control keeps nothing of the gain"),
        ((-0.1, 0.4), 0.05, "no significant difference: the 95 % confidence interval includes zero"),
        ((-0.3, -0.1), 0.05, "the method is BELOW its baseline"),
    ],
)
def test_verdict(difference: tuple[float, float], control: float, expected: str) -> None:
    method = {"variant": "method", "difference": sum(difference) / 2, "from": difference[0], "to": difference[1]}
    lines = [{"variant": "baseline"}, method, {"variant": "control", "difference": control}]
    assert statistics.verdict(lines) == expected
    assert statistics.verdict(lines[:1]) == "nothing to compare: the variants baseline and method are both needed"


def test_one_seed_proves_nothing() -> None:
    lines = statistics.summary(list(statistics.runs(Fake(), STUDY, [0], VARIANTS)), "accuracy")
    assert statistics.verdict(lines) == "no effect shown: the uncertainty of a difference needs more than one seed"
    assert json.dumps(lines, allow_nan=False) and {line["sd"] for line in lines} == {None}


def test_the_split_of_a_seed_is_the_same_for_all_variants_and_made_harder_in_training_only() -> None:
    study = dataclasses.replace(STUDY, label_noise=0.5, imbalance=3.0)
    clean = dataclasses.replace(STUDY, imbalance=3.0)
    first, again, other = study.split(0), study.split(0), study.split(1)
    assert first.train.checksum() == again.train.checksum() != other.train.checksum()
    assert (first.train.labels != clean.split(0).train.labels).float().mean() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(first.test.labels, clean.split(0).test.labels) and len(first.test) == 16
    counts = STUDY.split(0).train.counts()
    assert len(first.train) < len(STUDY.split(0).train) and counts.max() - counts.min() <= 1


def test_shortened() -> None:
    short = dataclasses.replace(STUDY, train=1000).shortened(0.1)
    assert (short.train, short.test, short.config.training.epochs) == (100, 40, 2)
    assert short.variant("longer").training.epochs == 4
    rounds = fedntd.STUDY.shortened(0.25).config.rounds
    assert (rounds.rounds, rounds.clients) == (3, 20)


def test_finished_fits_are_reused_and_other_data_are_not_mistaken(tmp_path: Path) -> None:
    config = supervised.Config(student="cnn-4", training=Training(1, 12, "none", OptimizerSteps("adam", 1e-3)))
    first = toys.metrics(supervised, config, STUDY.split(0), Session(0, tmp_path))
    stamp = (tmp_path / "fit" / "record.json").stat().st_mtime_ns
    assert toys.metrics(supervised, config, STUDY.split(0), Session(0, tmp_path)) == first
    assert (tmp_path / "fit" / "record.json").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match=r"config\.data"):
        toys.metrics(supervised, config, STUDY.split(1), Session(0, tmp_path))


def test_command_on_a_tiny_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        command(tmp_path, "dcm", "--seeds", "2", "--fraction", "0.04", "--variant", "baseline", "--variant", "method")
        == 0
    )
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir()} >= {"results.json", "table.md", "seed-0", "seed-1"}
    found = json.loads((folder / "results.json").read_text())
    assert [row["variant"] for row in found["runs"]] == ["baseline", "method"] * 2
    assert found["command"].startswith("mulde ablate dcm --seeds 2 --fraction 0.04")
    assert found["data"].startswith("data shapes:6000,size=14: 80 training and 120 test images, a new split for")
    table = (folder / "table.md").read_text()
    assert "| variant " in table and "`mulde ablate dcm" in table
    captured = capsys.readouterr()
    assert "DCM: mutual distillation between all heads of two networks" in captured.out
    assert "dcm, seed 1, method: accuracy 0." in captured.err


def test_a_trained_teacher(tmp_path: Path) -> None:
    """A teacher that is named by a file takes the place of one that the study trains."""
    code = "from torch import nn\ndef teacher():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (tmp_path / "own.py").write_text(code)
    words = (
        "--teacher",
        f"{tmp_path / 'own.py'}:teacher,size=8",
        "--seeds",
        "1",
        "--fraction",
        "0.01",
        "--variant",
        "method",
    )
    assert command(tmp_path, "kd", *words) == 0
    assert (tmp_path / "out/seed-0/method/fit").is_dir() and not (tmp_path / "out/seed-0/common").exists()


def test_results_of_something_else_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/table.md").write_text("mine")
    assert command(tmp_path, "kd", "--seeds", "1", "--fraction", "0.01") == 2
    assert "found table.md of something else" in capsys.readouterr().err
    assert (tmp_path / "out/table.md").read_text() == "mine"


def test_first_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    words = (str(tmp_path / "mine.py"), "--seeds", "2", "--first-seed", "3", "--variant", "baseline", "--json")
    assert command(tmp_path, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in found["runs"]] == [3, 4] and found["data"].endswith("seeds 3, 4")
    assert command(tmp_path, *words) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == found["runs"]


def test_options_of_the_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options change the study's configuration; variants are made from it."""
    (tmp_path / "mine.py").write_text(OWN)
    words = (str(tmp_path / "mine.py"), "--seeds", "1", "--json")
    assert command(tmp_path, *words, "--variant", "baseline", "--variant", "method", "--batch-size", "9") == 0
    found = json.loads(capsys.readouterr().out)["configurations"]
    assert (found["method"]["student"], found["baseline"]["student"]) == ("cnn-4", "cnn-2")
    assert found["method"]["training"]["batch_size"] == 9 and found["method"]["training"]["epochs"] == 1
    assert command(tmp_path, *words, "--alpha", "1") == 2
    assert 'no option called "--alpha"' in capsys.readouterr().err
    assert command(tmp_path, *words, "--batch-size", "10") == 2  # the folder has fits with another one
    assert "batch_size" in capsys.readouterr().err


@pytest.mark.parametrize("name", catalogue.studies())
@pytest.mark.parametrize("preset", ["study", "paper"])
def test_without_options_the_configuration_is_that_of_the_study(name: str, preset: str) -> None:
    study = catalogue.module_at(catalogue.path_of("methods", name)).STUDY
    settings: Any = parse(AblateConfig, [name, "--preset", preset], "mulde ablate", "", compose=compose)
    assert settings.options == (study.config if preset == "study" else type(study.config)())


def test_plot() -> None:
    plot = pytest.importorskip("mulde.vision.ablation.plot", exc_type=ImportError)
    rows = list(statistics.runs(Fake(), STUDY, [0, 1], VARIANTS))
    assert plot.plot_variants(rows, "accuracy", "a title", "which data").startswith(b"\x89PNG")


def test_a_package_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error for one method; with --all the method is left out."""
    pytest.importorskip("sklearn")
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    monkeypatch.delitem(sys.modules, "mulde.federated.rounds", raising=False)
    monkeypatch.delattr("mulde.federated.rounds", raising=False)  # the package keeps the name of an imported module
    sentence = "federated rounds are run by Flower; install it with `pip install mulde[federated]`"
    assert command(tmp_path, "fedntd", "--seeds", "1", "--fraction", "0.1") == 2
    assert capsys.readouterr().err == f"mulde: {sentence}\n"
    monkeypatch.setattr(catalogue, "studies", lambda: ["fedntd"])
    assert command(tmp_path, "--all", "--fraction", "0.1") == 0
    assert f"fedntd is left out: {sentence}" in capsys.readouterr().err


OWN = '''"""Mine: a method in a file of its own."""
from mulde.vision.methods.supervised import Config, build, networks
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.ablation.study import Study
training = Training(1, 16, "none", OptimizerSteps("adam", 1e-3))
STUDY = Study(
    config=Config(student="cnn-4", training=training),
    variants={"baseline": {"student": "cnn-2"}, "method": {}},
    metric="accuracy", data="shapes:80,size=8",
)
'''


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    words = ("--seeds", "1", "--variant", "baseline", "--variant", "method", "--json")
    assert command(tmp_path, str(tmp_path / "mine.py"), *words) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["method"] == "mine" and {row["variant"] for row in found["summary"]} == {"baseline", "method"}
    assert (tmp_path / "out/table.md").exists()


def test_a_second_metric_the_studys_seeds_and_imbalance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = OWN.replace(
        'metric="accuracy"', 'metric="accuracy", second_metric="accuracy", seeds=2, meaning="small first"'
    )
    (tmp_path / "mine.py").write_text(study)
    assert command(tmp_path, str(tmp_path / "mine.py"), "--imbalance", "3") == 0
    printed = capsys.readouterr().out
    assert printed.count("\naccuracy: ") == 2 and "imbalance 3; 1 epochs; seeds 0, 1\nsmall first\n" in printed
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["second"] == {"metric": "accuracy", "verdict": found["verdict"], "summary": found["summary"]}
    assert [row["variant"] for row in found["runs"]] == ["baseline", "method"] * 2


def test_a_file_of_ones_own_with_a_dataclass_or_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    postponed = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    dataclass = "@dataclass\nclass Mine:\n    b: int = 0\n"
    (tmp_path / "mine.py").write_text(postponed + OWN + dataclass)
    assert command(tmp_path, str(tmp_path / "mine.py"), "--seeds", "1", "--variant", "baseline") == 0
    (tmp_path / "mine.py").write_text("x = 1\ndef build(:")
    capsys.readouterr()
    assert command(tmp_path, str(tmp_path / "mine.py")) == 2
    assert capsys.readouterr().err == f"mulde: {tmp_path}/mine.py, line 2: Python cannot read it: invalid syntax\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "mulde ablate takes one method or --all; `mulde list methods` shows their names"),
        (["dcm", "--all"], "mulde ablate takes one method or --all; `mulde list methods` shows their names"),
        (
            ["dcm", "--variant", "both"],
            'dcm has no variant called "both"; there are baseline, method, weight 0, control',
        ),
        (["lad", "--variant", "weight 0"], 'lad has no variant called "weight 0"; there are baseline, method, control'),
        (["lad", "--imbalance", "10"], "--imbalance is for images of one class each; lad is trained on boxes"),
        (["lad", "--data", "digits"], 'no form of images with boxes called "digits"'),
        (["dcm", "--data", "voc:."], 'no form of image data called "voc:."'),
        (["nothing.py"], "nothing.py does not exist; name a method or the path of a Python file"),
        (["dcmm"], 'no method called "dcmm"; nearest: dcm'),
        (
            ["dcm", "--preset", "paper"],
            "--preset paper trains dcm on your images: give them with --data; ",
        ),
        (["dcm", "--preset", "paper"], "the paper's are --data cifar100:PATH"),
        (["--all", "--preset", "paper"], "--preset paper trains one method, because the papers use different images"),
        (
            ["supervised"],
            "supervised has no ablation study: its file does not define STUDY; methods with one are bnext, ",
        ),
    ],
)
def test_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert command(tmp_path, *words) == 2
    assert message in capsys.readouterr().err


def test_a_paper_study_keeps_the_users_images_as_they_are(tmp_path: Path) -> None:
    data = cifar(tmp_path / "cifar", 10, 80, ("data_batch_1", "data_batch_2", "test_batch"))
    study = dataclasses.replace(STUDY, label_noise=0.4, imbalance=5.0, train=20).paper()
    split = study.split(0, data)
    assert (len(split.train), len(split.valid), len(split.test)) == (160, 0, 80)
    assert split.train.counts().tolist() == [16] * 10
    assert study.config == Config() and study.metric == "accuracy"
    assert dataclasses.replace(STUDY, paper_metric="recall").paper().metric == "recall"
