"""Studies on real pictures: the search of settings, and the record of a tiny study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harness import records
from benchmarks.quality import camvid, picture_records, pictures
from benchmarks.quality.picture_settings import Setting
from mulde import catalogue
from mulde.vision.ablation import search
from mulde.vision.ablation.study import Study
from mulde.vision.methods import cbd
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.video.generated import drifting

RATES = {"training.optimizer.lr": (0.01, 0.02)}


@pytest.fixture
def study() -> Study:
    training = Training(1, 16, "none", OptimizerSteps("sgd", 0.05))
    config = replace(cbd.STUDY.config, student="cnn-4", teacher=("cnn-4",), augmented=0, training=training)
    return replace(cbd.STUDY, config=config, data="shapes:80,size=8", train=48, test=16, imbalance=1.0)


def test_each_searched_variant_gets_its_own_best_settings(study: Study) -> None:
    def trial(variant: str, value: float, **settings: float) -> dict[str, object]:
        names = {"lr": "training.optimizer.lr", "beta": "beta"}
        found = {names[name]: each for name, each in settings.items()}
        return {"variant": variant, "settings": found, "metrics": {"accuracy": value}}

    trials = [
        trial("baseline", 0.4, lr=0.1), trial("baseline", 0.3, lr=0.2),
        trial("method", 0.5, lr=0.3, beta=7.0), trial("method", 0.6, lr=0.4, beta=8.0),
    ]  # fmt: skip
    found = search.tuned(study, trials)
    rates = {name: found.variant(name).training.optimizer.lr for name in found.variants}
    assert rates == {"baseline": 0.1, "method": 0.4, "weight 0": 0.4, "control": 0.4}
    assert found.variant("method").beta == 8.0 and found.variant("baseline").beta == study.config.beta
    assert found.variant("baseline").alpha == 0.0


def test_points_are_all_combinations() -> None:
    assert search.points({"a": (1, 2), "b.c": (3, 4)}) == [
        {"a": 1, "b.c": 3}, {"a": 1, "b.c": 4}, {"a": 2, "b.c": 3}, {"a": 2, "b.c": 4},
    ]  # fmt: skip


@pytest.mark.parametrize("name", pictures.SETTINGS)
def test_all_searched_variants_have_as_many_trials(name: str) -> None:
    setting = pictures.SETTINGS[name]
    assert {"baseline", "method"} <= set(setting.search) <= set(setting.variants) <= set(setting.study.variants)
    assert {len(search.points(grid)) for grid in setting.search.values()} == {8}
    module = catalogue.module_at(catalogue.path_of("methods", setting.method))
    for variant, grid in setting.search.items():
        changed = search.changed(setting.study.variant(variant), search.points(grid)[0])
        assert isinstance(changed, module.Config)


def test_a_study_is_searched_trained_and_recorded(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(method="cbd", study=study, search={"baseline": RATES}, shared_stages=False, seeds=1)
    monkeypatch.setattr(pictures, "SETTINGS", {"toy": setting})
    pictures.compare("toy", tmp_path / "pictures", tmp_path / "runs", tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out/records.jsonl").read_text().splitlines()]
    assert [line["run"] for line in lines] == ["toy, baseline-10", "toy, method-10"]
    trials = [json.loads(line) for line in (tmp_path / "search/pictures/records.jsonl").read_text().splitlines()]
    assert [(trial["variant"], trial["seed"]) for trial in trials] == [("baseline", 99)] * 2
    best = max(trials, key=lambda trial: trial["metrics"]["accuracy"])["settings"]["training.optimizer.lr"]
    assert lines[0]["settings"]["training"]["optimizer"]["lr"] == best
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"records.jsonl", "table.md", "plot.png"}
    assert not any(str(tmp_path) in path.read_text() for path in (tmp_path / "out").rglob("*.[jm][sd]*"))


def test_the_records_of_one_study_replace_its_own_only(tmp_path: Path) -> None:
    for name, run in (("a", "first"), ("b", "first"), ("a", "second")):
        picture_records.replace(tmp_path, name, [{"run": run}])
    assert [it["run"] for it in records.read(tmp_path)] == ["b, first", "a, second"]


def test_a_drive_is_measured_with_networks_from_other_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drives = {name: drifting(8, 40, cuts=(), seed=i) for i, name in enumerate((*camvid.DRIVES, camvid.SEARCHED))}
    monkeypatch.setattr(camvid, "CLASSES", 3)
    monkeypatch.setattr(camvid, "TEACHER", replace(camvid.TEACHER, epochs=1))
    config = replace(camvid.CONFIG, pretraining=replace(camvid.CONFIG.pretraining, epochs=1), max_updates=1)
    found = camvid.measured(drives, "0016E5", config, 10, tmp_path, "method")
    assert found["query_fraction"] == 0.25 and found["updates"] == 2 and 0 <= found["teacher"] <= 1
    changed = {**drives, camvid.SEARCHED: drifting(8, 40, cuts=(), seed=9)}  # its other part trains nothing
    assert camvid.measured(changed, "0016E5", config, 10, tmp_path, "method") == found
