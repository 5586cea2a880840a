"""`mulde run`: the whole job once, reused, changed, stopped and recorded."""

from __future__ import annotations

import gzip
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mulde.cli.run as verb
import mulde.kge.training.parallel as parallel
from mulde.config import read
from mulde.errors import UsageError
from mulde.kge.training.record import record
from tests.cli.conftest import RUN, SMALL, Command

STAGES = ["teachers/roth", "teachers/diste", "alone", "junior"]


def test_the_folder(whole_run: Path) -> None:
    for stage in STAGES:
        assert (whole_run / stage / "model.safetensors").exists()
        assert json.loads((whole_run / stage / "test.json").read_text())["split"] == "test"
    summary = json.loads((whole_run / "summary.json").read_text())
    assert [row["model"] for row in summary["rows"]] == [
        "teacher roth", "teacher diste", "Junior alone", "Senior (all teachers)", "plain sum of teachers",
        "Junior (MulDE)",
    ]  # fmt: skip
    assert summary["rows"][0]["dim"] == 6 and summary["rows"][-1]["dim"] == 4
    assert summary["threads"] == 1
    assert "| Junior (MulDE)" in (whole_run / "summary.md").read_text()


def test_the_same_command_reuses_and_says_so(whole_run: Path, command: Command) -> None:
    before = {path: path.read_bytes() for path in whole_run.rglob("*.safetensors")}
    said = command(*RUN, "--out", whole_run)
    assert said.code == 0
    assert said.err.splitlines()[0] == (
        "mulde: nations: 14 entities, 55 relations, 1,592 train / 199 valid / 201 test triples"
    )
    for stage in STAGES:
        assert f"mulde:   finished before and reused: {whole_run / stage}\n" in said.err
    assert said.err.count(" on valid without the closed world, ") == len(STAGES)
    assert said.out.startswith("nations, test split (201 triples), filtered, both directions, realistic ranks\n")
    assert said.out.splitlines()[-1].startswith("MRR on valid: junior 0.")
    assert max(map(len, said.out.splitlines()[1:10])) <= 80
    assert before == {path: path.read_bytes() for path in whole_run.rglob("*.safetensors")}


@pytest.mark.parametrize(("alone", "best"), [(0.2, "junior"), (0.25, "junior"), (0.3, "alone")])
def test_the_better_junior_is_named(whole_run: Path, command: Command, tmp_path: Path, alone: float, best: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    for stage, mrr in (("alone", alone), ("junior", 0.25)):
        path = run / stage / "fit/record.json"
        content = json.loads(path.read_text())
        content["best_metrics"]["valid/mrr"] = mrr
        path.write_text(json.dumps(content))
    told = command(*RUN, "--out", run).out.splitlines()[-1]
    assert told == f"MRR on valid: junior 0.2500, alone {alone:.4f}; take {run / best}"


def test_what_was_judged_is_not_judged_again(
    whole_run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in whole_run.rglob("*") if path.suffix in (".json", ".md")}
    monkeypatch.setattr("mulde.cli._summary.environment", None)  # a new date would need it
    monkeypatch.setattr("mulde.kge.evaluation.cache.evaluate", lambda *_: pytest.fail("evaluated again"))
    assert command(*RUN, "--out", whole_run).code == 0
    assert before == {path: path.read_bytes() for path in before}


def test_other_weights_are_judged_again(whole_run: Path, command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    for name in ("alone/test.json", "junior/senior.json", "junior/ensemble.json"):
        path = run / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "weights": "others", "realistic": {"mrr": 2.0}}))
    (run / "junior/test.json").write_text("damaged")
    assert command(*RUN, "--out", run).code == 0
    for path in [*run.rglob("test.json"), run / "junior/senior.json", run / "junior/ensemble.json"]:
        assert path.read_bytes() == (whole_run / path.relative_to(run)).read_bytes(), path


def test_a_repeated_teacher_is_another_one(command: Command, tmp_path: Path) -> None:
    words = ["--teacher", "diste", "--teacher", "rote", "--teacher", "DistE", "--no-baseline", "--seed", "7"]
    said = command("run", *SMALL, *words, "--out", tmp_path / "run", "--json")
    assert said.code == 0
    models = [row["model"] for row in json.loads(said.out)["rows"]]
    assert models[:3] == ["teacher diste", "teacher rote", "teacher diste-2"]
    teachers = tmp_path / "run/teachers"
    assert sorted(path.name for path in teachers.iterdir()) == ["diste", "diste-2", "rote"]
    first, second = (json.loads((teachers / name / "model.json").read_text()) for name in ("diste", "diste-2"))
    assert first["weights"] != second["weights"] and first["model"] == second["model"]
    seeds = [json.loads((teachers / name / "fit/config.json").read_text())["seed"] for name in ("diste", "diste-2")]
    assert seeds == [7, 1007]
    assert "taught by diste, rote, diste-2\n" in said.err


def test_its_settings_fed_back_are_the_same_run(whole_run: Path, command: Command) -> None:
    said = command("run", "--config", whole_run / "settings.yaml", "--json")
    assert said.code == 0
    assert said.err.count("finished before and reused") == len(STAGES)
    settings = json.loads(said.out)["settings"]
    assert settings | {"json": False} == read(whole_run / "settings.yaml")


def test_other_settings_are_refused(whole_run: Path, command: Command) -> None:
    said = command(*RUN, "--out", whole_run, "--lr", "0.5", "--negatives", "7")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-3:] == [
        f"mulde: {whole_run}/teachers/roth holds a run with other settings; give another --out, or the old settings:",
        "  negatives: was 4, is 7",
        "  lr: was 0.02, is 0.5",
    ]


def test_other_data_are_refused(whole_run: Path, command: Command) -> None:
    said = command(*RUN, "--out", whole_run, "--data", "kinships")
    assert said.code == 2
    assert '  data.name: was "nations", is "kinships"\n' in said.err


@pytest.mark.parametrize("name", ["TransH", "hyperbolic-transe"])
def test_a_word_of_the_paper(name: str, command: Command, tmp_path: Path) -> None:
    said = command("run", "--teacher", name, "--data", tmp_path / "no.tsv")
    remark = 'mulde: "TransH" is taken as the MulDE paper\'s, which is called hyperbolic_transe here\n'
    assert said.err.startswith(remark) == (name == "TransH")


def test_ctrl_c_and_again(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", *SMALL, "--teacher", "diste", "--teacher-dim", "4", "--no-baseline", "--out", tmp_path / "run"]
    distil = verb.stage.distil

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb.stage, "distil", stopped)
    said = command(*words)
    assert (said.code, said.out) == (130, "")
    assert said.err.endswith("mulde: stopped; the same command continues from the last checkpoint\n")
    assert not (tmp_path / "run/summary.json").exists()
    monkeypatch.setattr(verb.stage, "distil", distil)
    said = command(*words, "--json")
    assert said.code == 0
    assert said.err.count("finished before and reused") == 1
    assert json.loads(said.out)["rows"][0]["model"] == "teacher diste"


def test_a_budget_is_shared(command: Command, tmp_path: Path) -> None:
    words = ["--teacher", "diste", "--epochs", "1000", "--patience", "1000", "--budget", "4s"]
    said = command("run", *SMALL, *words, "--out", tmp_path / "run")
    assert said.code == 0
    assert said.err.count("stopped by budget") == 3
    again = command("run", *SMALL, *words, "--out", tmp_path / "run")  # no stage gets the time of another one
    assert (again.code, again.out) == (0, said.out)
    assert again.err.count("finished before and reused") == 3


def test_record(whole_run: Path, command: Command, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    said = command(*RUN, "--out", whole_run, "--save-record", kept)
    assert said.code == 0
    assert f"mulde: recorded in {kept}\n" in said.err
    names = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    one = {"fit/config.json", "fit/record.json", "fit/log.jsonl.gz", "test.json"}
    assert names == {
        "summary.json", "summary.md", "settings.yaml", "junior/senior.json", "junior/ensemble.json",
        "junior/senior.safetensors",
        *(f"{stage}/{name}" for stage in STAGES for name in one),
    }  # fmt: skip
    log = gzip.decompress((kept / "alone/fit/log.jsonl.gz").read_bytes())
    assert log == (whole_run / "alone/fit/log.jsonl").read_bytes()


def test_a_record_is_not_overwritten_unasked(whole_run: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    record(whole_run, kept)
    record(whole_run, kept)  # equal files are no conflict
    (kept / "junior/test.json").write_text("mine")
    (kept / "summary.md").unlink()
    with pytest.raises(UsageError) as error:
        record(whole_run, kept)
    assert str(error.value) == (
        f"{kept} holds another record (junior/test.json differs); name another folder, or add --overwrite"
    )
    assert not (kept / "summary.md").exists()  # nothing at all was written
    record(whole_run, kept, overwrite=True)
    assert (kept / "junior/test.json").read_bytes() == (whole_run / "junior/test.json").read_bytes()


def test_an_unfinished_run_is_not_recorded(whole_run: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run/alone/fit/record.json").unlink()
    with pytest.raises(UsageError) as error:
        record(tmp_path / "run", tmp_path / "kept")
    assert str(error.value) == (
        f"{tmp_path}/run/alone: not finished, so there is no record yet; the same command continues it"
    )
    assert not (tmp_path / "kept").exists()


def test_teachers_side_by_side_are_those_of_one_after_the_other(
    whole_run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes are threads here, which start in a moment; what they do is the same."""
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1))
    said = command(*RUN, "--parallel", "2", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "mulde: 2 teachers, 2 side by side\n" in said.err
    for stage in STAGES:
        reused = f"finished before and reused: {tmp_path / 'run' / stage}\n" in said.err
        assert reused == stage.startswith("teachers/")
        weights = "model.safetensors"
        assert (tmp_path / "run" / stage / weights).read_bytes() == (whole_run / stage / weights).read_bytes()


def test_a_repeated_teacher_keeps_its_own_seed_side_by_side(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1))
    words = [*SMALL, "--data", "nations", "--teacher", "roth", "--teacher", "roth", "--no-baseline", "--parallel", "2"]
    said = command("run", *words, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    seeds = []
    for name in ("roth", "roth-2"):
        assert f"finished before and reused: {tmp_path / 'run/teachers' / name}\n" in said.err
        seeds.append(json.loads((tmp_path / "run/teachers" / name / "fit/config.json").read_text())["seed"])
    assert seeds == [0, verb.ANOTHER_SEED]


def test_what_fails_in_a_process_is_told_by_the_one_that_waits(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1))
    (tmp_path / "teachers").mkdir()
    (tmp_path / "teachers/diste").touch()
    said = command(*RUN, "--parallel", "2", "--out", tmp_path)
    assert said.code == 2
    assert said.err.endswith(f"mulde: {tmp_path}/teachers/diste/fit: Not a directory; name another path\n")
    assert (tmp_path / "teachers/roth/fit/record.json").exists()


@pytest.mark.slow
def test_real_processes_side_by_side(whole_run: Path, command: Command, tmp_path: Path) -> None:
    assert command(*RUN, "--parallel", "2", "--out", tmp_path / "run").code == 0
    for stage in STAGES:
        weights = "model.safetensors"
        assert (tmp_path / "run" / stage / weights).read_bytes() == (whole_run / stage / weights).read_bytes()


def test_several_gpus_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parallel.devices("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert parallel.devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert parallel.devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
