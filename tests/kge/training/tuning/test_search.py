"""The search: what it reads, how it continues, which trials it stops, and what it leaves."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kge_data
import mulde
from kge_data.files import locked
from mulde.config import from_dict
from mulde.engine import NonFiniteLoss
from mulde.engine.progress import Progress
from mulde.errors import NonFiniteError, UsageError
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.training import stage, supervised
from mulde.kge.training.tuning import study
from mulde.kge.training.tuning.result import Tuned, duration

TINY: dict[str, Any] = {"dim": 2, "epochs": 2, "eval_every": 1, "negatives": 2, "batch_size": 2000}
GRAPH = kge_data.load("nations")


def tune(folder: Path, **changes: Any) -> Tuned:
    options = {"trials": 3, "search": {"lr": "0.01:1:log"}, **TINY, **changes}
    return mulde.tune("diste", options.pop("graph", GRAPH), folder=folder, **options)


def outcomes(result: Tuned) -> list[tuple[Any, ...]]:
    """What trials chose and reached, without their times."""
    return [(trial.number, trial.state, trial.mrr, dict(trial.settings)) for trial in result.trials]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tune(tmp_path_factory.mktemp("tune") / "whole")


def test_the_first_trial_is_the_preset(tuned: Tuned) -> None:
    graph = replace(GRAPH, test=GRAPH.test[:0])
    model = mulde.train("diste", graph, graph_prior=False, mask_self_loops=False, **TINY)
    assert tuned.preset.mrr == evaluate(model, graph, "valid", embeddings_only=True).metrics()["mrr"]
    assert tuned.preset.settings == {"lr": 0.02}
    assert tuned.best.mrr is not None and tuned.best.mrr >= tuned.preset.mrr
    assert tuned.gain == tuned.best.mrr - tuned.preset.mrr


@pytest.mark.parametrize("test", ["none", "other"])
def test_the_test_split_has_no_influence(tuned: Tuned, tmp_path: Path, test: str) -> None:
    other = np.stack([GRAPH.valid[:, 2], GRAPH.valid[:, 1], GRAPH.valid[:, 0]], 1)
    graph = replace(GRAPH, test=GRAPH.test[:0] if test == "none" else other)
    assert outcomes(tune(tmp_path, graph=graph)) == outcomes(tuned)


def test_the_settings_give_the_best_trial(tuned: Tuned) -> None:
    names = set(mulde.config.hints_of(supervised.Config))
    config: Any = from_dict(supervised.Config, {k: v for k, v in tuned.settings.items() if k in names})
    assert config.training.lr == tuned.best.settings["lr"] and config.model.graph_prior
    config = replace(config, model=replace(config.model, mask_self_loops=False, graph_prior=False))
    again = stage.train("diste", replace(GRAPH, test=GRAPH.test[:0]), config, None)
    assert again.record.best_metrics["valid/mrr"] == tuned.best.mrr


def test_an_interrupted_search_continues_as_if_it_were_not(tuned: Tuned, tmp_path: Path) -> None:
    seen: list[float] = []

    def stop(message: Progress) -> None:
        seen.append(message.fraction)
        if message.metrics and message.fraction > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, progress=stop)
    assert (tmp_path / "settings.yaml").exists() and (tmp_path / "trial-1").exists()
    with (tmp_path / study.JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":')  # a kill in the middle of a line
    with pytest.warns(UserWarning, match=r"study\.log: the last line was written in part and is removed"):
        assert outcomes(tune(tmp_path)) == outcomes(tuned)
    assert not (tmp_path / "trial-1").exists()


def test_more_trials_continue_a_search(tuned: Tuned, tmp_path: Path) -> None:
    assert outcomes(tune(tmp_path, trials=1)) == outcomes(tuned)[:1]
    assert outcomes(tune(tmp_path)) == outcomes(tuned)
    lines: list[str] = []
    again = tune(tmp_path, progress=lambda message: lines.append(message.text))
    assert outcomes(again) == outcomes(tuned) and lines == []


def test_other_settings_are_refused(tuned: Tuned) -> None:
    changes = r"(?s)other settings; give another --out.*dim: was 2, is 4.*lr: was \"0.01:1:log"
    with pytest.raises(UsageError, match=changes):
        tune(tuned.folder, dim=4, search={"lr": "1e-3:1e-2"})
    with locked(tuned.folder), pytest.raises(UsageError, match="in use by process"):
        tune(tuned.folder)


def test_a_search_without_a_finished_trial_may_change(tmp_path: Path) -> None:
    def stop(message: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, progress=stop)
    assert tune(tmp_path, dim=4, trials=1).preset.state == "finished"


def test_a_budget_ends_the_search_and_may_grow(tmp_path: Path) -> None:
    lines: list[str] = []
    first = tune(tmp_path, budget=1e-3, progress=lambda message: lines.append(message.text))
    assert len(first.trials) == 1 and lines[-1] == "budget used up after 1 of 3 trials; a larger --budget continues"
    assert first.settings["budget"] == pytest.approx(1e-3 / 3)
    assert len(tune(tmp_path, budget="1h").trials) == 3


def test_bad_trials_are_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "STARTUP", 2)
    options = {**TINY, "epochs": 4, "search": {"lr": [0.02, 1e-9]}, "trials": 6}
    result = tune(tmp_path / "with", **options)
    stopped = [trial for trial in result.trials if trial.state == "stopped early"]
    assert stopped and {trial.settings["lr"] for trial in stopped} == {1e-9}
    assert result.best.settings["lr"] == 0.02
    worst = next(number for number, trial in enumerate(result.trials, 1) if trial.state == "stopped early")
    whole = tune(tmp_path / "without", prune=False, **{**options, "trials": worst})
    assert {trial.state for trial in whole.trials} == {"finished"}


def test_a_diverging_trial_does_not_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = stage.train

    def diverging(scorer: Any, graph: Any, config: Any, *rest: Any, **others: Any) -> Any:
        if config.training.lr is not None:
            raise NonFiniteLoss("a loss became nan")
        return train(scorer, graph, config, *rest, **others)

    monkeypatch.setattr(stage, "train", diverging)
    result = tune(tmp_path / "some")
    assert [trial.state for trial in result.trials] == ["finished", "diverged", "diverged"]
    assert "3 trials, 2 diverged" in result.text() and result.best is result.preset
    with pytest.raises(NonFiniteError, match="none of 1 trials was finished"):
        tune(tmp_path / "none", trials=1, lr=0.1, search={"lr": [0.1, 0.2]})


def test_values_that_are_impossible_together_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="even"):
        mulde.tune("rote", GRAPH, folder=tmp_path / "odd", search={"dim": [2, 3]}, **TINY)
    assert not (tmp_path / "odd").exists()


def test_the_files(tuned: Tuned) -> None:
    picture = ElementTree.parse(tuned.folder / "tune.svg").getroot()
    marks = [each for each in picture.iter() if each.get("class", "").startswith("m ") and len(each)]
    assert len(marks) == 2 * len(tuned.trials)
    page = (tuned.folder / "tune.md").read_text()
    assert "| 1 (preset) |" in page and "validation MRR, embeddings only, filtered by train and valid" in page
    pandas = pytest.importorskip("pandas")
    frame = tuned.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame.columns) == ["number", "state", "mrr", "seconds", "lr"]
    assert "<table>" in tuned._repr_html_() and tuned.command in repr(tuned)


def test_importance_needs_some_trials() -> None:
    optuna = pytest.importorskip("optuna")
    with study.quiet():
        known = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0))
        ranges = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("lr", "n3")}
        for number in range(12):
            assert (study.importance(known) == {}) == (number < 10)
            trial = known.ask(ranges)
            known.tell(trial, trial.params["lr"])
        found = study.importance(known)
    assert sum(found.values()) == pytest.approx(1) and found["lr"] > found["n3"]


def test_durations() -> None:
    assert [duration(each) for each in (0.26, 41.2, 312, 7500)] == ["0.3 s", "41 s", "5 min 12 s", "2 h 5 min"]
