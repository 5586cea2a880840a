"""`mulde ablate --all`: every study has a row, a failed one does not stop the others, finished ones are kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from mulde import catalogue, cli
from mulde.cli import _all_studies
from mulde.vision.ablation import overview
from mulde.vision.ablation.results import kept
from mulde.vision.ablation.study import Study
from mulde.vision.methods import byot, supervised
from mulde.vision.training.options import OptimizerSteps, Training

TINY = Study(
    config=supervised.Config(student="cnn-4", training=Training(1, 16, "none", OptimizerSteps("adam", 1e-3))),
    variants={"baseline": {"student": "cnn-2"}, "method": {}, "control": {}},
    metric="accuracy",
    data="shapes:80,size=8",
)
READABLE = dataclasses.replace(
    byot.STUDY,
    config=dataclasses.replace(byot.STUDY.config, student="cnn-4-6", training=TINY.config.training),
    data=TINY.data,
)
SEEDS, VARIANTS = [0, 1], ["baseline", "method"]


def unreadable(spec: str) -> Any:
    raise ZeroDivisionError(f"no {spec}")


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Two studies, of which one cannot read its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "studies", lambda: ["byot", "supervised"])
        patch.setattr(supervised, "STUDY", TINY, raising=False)
        patch.setattr(byot, "STUDY", dataclasses.replace(READABLE, read=unreadable))
        yield patch


@pytest.fixture(scope="module")
def folder(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after a first call."""
    folder = tmp_path_factory.mktemp("all")
    assert ablate(folder) == 1
    return folder


def ablate(folder: Path, *words: str) -> int:
    return cli.main(["ablate", "--all", "--threads", "1", "--out", str(folder), *words])


def rows(folder: Path) -> dict[str, Any]:
    return {row["method"]: row for row in json.loads((folder / "results.json").read_text())["studies"]}


def test_a_failed_study_is_named_and_the_others_go_on(folder: Path) -> None:
    found = rows(folder)
    assert found["byot"]["verdict"] == "failed" and found["byot"]["error"] == "ZeroDivisionError: no shapes:80,size=8"
    assert list(found) == ["byot", "supervised"]  # in the order of fields
    own = found["supervised"]
    assert own["from"] <= own["difference"] <= own["to"] and own["minutes"] >= 0 and own["cost"] == 1
    assert own["difference"] == pytest.approx(own["with the method"] - own["baseline"])
    table = (folder / "table.md").read_text()
    assert table.startswith("`mulde ablate --all") and "\n\nbyot failed: ZeroDivisionError: no shapes" in table
    assert {row["variant"] for row in json.loads((folder / "supervised/results.json").read_text())["runs"]} == {
        *VARIANTS
    }


def test_a_result_is_kept_for_the_same_settings_only(folder: Path, tmp_path: Path) -> None:
    own = folder / "supervised"
    assert kept(own, TINY, SEEDS, VARIANTS)
    assert not kept(own, TINY, [0, 1, 2], VARIANTS) and not kept(own, TINY, SEEDS, [*VARIANTS, "control"])
    assert not kept(own, TINY.paper(), SEEDS, VARIANTS) and not kept(tmp_path, TINY, SEEDS, VARIANTS)
    changed = dataclasses.replace(TINY, variants={**TINY.variants, "baseline": {"student": "cnn-3"}})
    assert not kept(own, changed, SEEDS, VARIANTS)


def test_the_same_call_runs_only_what_is_missing(
    folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "supervised/results.json").stat().st_mtime_ns
    patch.setattr(byot, "STUDY", READABLE)
    assert ablate(folder, "--json") == 0
    printed = capsys.readouterr()
    assert (folder / "supervised/results.json").stat().st_mtime_ns == before
    assert "byot, seed 1, method" in printed.err and "supervised, seed" not in printed.err
    assert "mulde: 2 of 2 studies: supervised, " in printed.err
    assert [row["method"] for row in json.loads(printed.out)] == ["byot", "supervised"]
    assert "error" not in rows(folder)["byot"]


def test_a_process_for_each_study_at_once(
    patch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that is ended by the system fails its study alone."""

    class Pool:
        def __init__(self, workers: int, **options: Any):
            assert workers == 1

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *error: object) -> None: ...

        def submit(self, call: Callable[..., Any], name: str, *rest: Any) -> Future[Any]:
            done: Future[Any] = Future()
            if name == "byot":
                done.set_exception(BrokenProcessPool())
            else:
                done.set_result({"method": name, "field": "", "verdict": "above", "minutes": 1.5})
            return done

    patch.setattr(_all_studies, "ProcessPoolExecutor", Pool)
    assert cli.main(["ablate", "--all", "--threads", "2", "--out", str(tmp_path)]) == 1
    assert "byot failed: its process was ended" in capsys.readouterr().out
    assert rows(tmp_path)["supervised"]["verdict"] == "above"


def test_a_row_without_a_comparison() -> None:
    line = {"variant": "baseline", "seeds": 1, "accuracy": 0.5, "sd": None}
    result = {"method": "kd", "field": "compression", "metric": "accuracy", "seconds": 120.0, "summary": [line]}
    row = overview.row(result)
    assert row["verdict"] == "not compared" and "0.5000" in overview.text([row])
    one = {**line, "variant": "method", "difference": 0.125, "from": None, "to": None, "cost": 2.0}
    row = overview.row({**result, "summary": [line, one]})
    assert row["verdict"] == "one seed" and "  +0.125  " in overview.text([row])
