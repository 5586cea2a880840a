"""`mulde run`: a whole run, reuse, changed settings, interruption, records."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mulde.kge.training.parallel as parallel
import mulde.kge.training.run as job
from mulde.config import read
from mulde.errors import UsageError
from mulde.files import read_json, write_json
from mulde.kge.training.record import of_run
from tests.cli.conftest import RUN, SMALL, Command

TEACHERS = ("roth", "diste")


def stages(run: Path) -> list[Path]:
    """The folders of the stages of a run, teachers first, in their order."""
    return [*(next((run / "teachers").glob(f"{name}-*")) for name in TEACHERS), run / "baseline", run / "junior"]


def test_the_folder(whole_run: Path) -> None:
    for stage in stages(whole_run):
        assert (stage / "model.safetensors").exists()
        assert json.loads((stage / "test.json").read_text())["split"] == "test"
    summary = json.loads((whole_run / "summary.json").read_text())
    assert [row["model"] for row in summary["rows"]] == [
        "teacher roth", "teacher diste", "baseline", "Senior", "teacher ensemble", "Junior",
    ]  # fmt: skip
    assert summary["rows"][0]["dim"] == 6 and summary["rows"][-1]["dim"] == 4
    assert summary["threads"] == 1
    assert summary["rows"][-1]["MRR with prior"] > summary["rows"][-1]["MRR"]
    assert [row["MRR with prior"] for row in summary["rows"][3:5]] == [None, None]
    assert "| Junior " in (whole_run / "summary.md").read_text()


def test_the_same_command_reuses_and_says_so(whole_run: Path, command: Command) -> None:
    before = {path: path.read_bytes() for path in whole_run.rglob("*.safetensors")}
    output = command(*RUN, "--out", whole_run)
    assert output.code == 0
    assert output.err.splitlines()[0] == (
        "mulde: nations: 14 entities, 55 relations, 1,592 train / 199 valid / 201 test triples"
    )
    assert output.err.splitlines()[1] == "mulde: running on cpu, 1 thread"
    for stage in stages(whole_run):
        assert f"mulde:   finished before and reused: {stage}\n" in output.err
    assert output.out.startswith("nations, test split (201 triples), filtered, both directions, realistic ranks\n")
    summary = json.loads((whole_run / "summary.json").read_text())
    assert f"\nRun folder: {whole_run}\n" in output.out
    assert output.out.splitlines()[-1] == f"  {summary['verdict']['commands']['predict']}"
    assert max(map(len, output.out.splitlines()[1:10])) <= 80
    assert before == {path: path.read_bytes() for path in whole_run.rglob("*.safetensors")}


def set_valid(stage: Path, mrr: float) -> None:
    """Change the recorded validation MRR of a stage."""
    path = stage / "fit/record.json"
    content = read_json(path)
    content["best_metrics"]["valid/mrr"] = mrr
    write_json(path, content)


@pytest.mark.parametrize(
    ("baseline", "junior", "recommended"),
    [(0.5, 0.5, "baseline"), (0.5, 0.505, "junior"), (0.48, 0.49, "teachers/roth-6")],
)
def test_the_recommended_model(
    whole_run: Path, command: Command, tmp_path: Path, baseline: float, junior: float, recommended: str
) -> None:
    """The smallest within 2 % of the best on valid, here of the larger teacher."""
    run = tmp_path / "a run"
    shutil.copytree(whole_run, run)
    for stage, mrr in zip(stages(run), (0.51, 0.1, baseline, junior), strict=True):
        set_valid(stage, mrr)
    output = command(*RUN, "--out", run)
    found = json.loads((run / "summary.json").read_text())
    assert found["recommended"].startswith(recommended)
    following = command(*shlex.split(output.out.splitlines()[-1])[1:])
    assert following.code == 0 and found["verdict"]["query"][0] in following.out, following.err
    tried = f"  mulde run --config '{run}/settings.yaml' --dim 6 --out '{run}-6'\n"
    assert (tried in output.out) == (found["recommended"] not in ("junior", "baseline"))


def test_the_command_to_try_reuses_the_teachers(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", *SMALL, "--teacher", "diste", "--teacher-dim", "16", "--no-baseline"]
    command(*words)
    set_valid(next((tmp_path / "runs/nations/teachers").iterdir()), 0.99)
    [tried] = [line for line in command(*words).out.splitlines() if "--config" in line]
    assert tried.endswith("settings.yaml --dim 8")
    again = command(*shlex.split(tried)[1:])
    assert again.code == 0 and again.err.count("finished before and reused") == 1
    assert len(list((tmp_path / "runs/nations").glob("roth-*-*"))) == 2


def test_nothing_is_evaluated_again(whole_run: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in whole_run.rglob("*") if path.suffix in (".json", ".md")}
    monkeypatch.setattr("mulde.kge.training.summary.environment", None)  # a new date would need it
    monkeypatch.setattr("mulde.kge.evaluation.cache.evaluate", lambda *_: pytest.fail("evaluated again"))
    assert command(*RUN, "--out", whole_run).code == 0
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.filterwarnings("ignore:.*the evaluation is computed again")
def test_other_weights_are_evaluated_again(whole_run: Path, command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    for name in ("baseline/test.json", "junior/senior.json", "junior/ensemble.json"):
        path = run / name
        write_json(path, {**read_json(path), "weights": "others", "realistic": {"mrr": 2.0}})
    (run / "junior/test.json").write_text("damaged")
    (run / "baseline/test.ranks.npz").write_bytes(b"damaged")
    assert command(*RUN, "--out", run).code == 0
    for path in [*run.rglob("test.json"), run / "junior/senior.json", run / "junior/ensemble.json"]:
        assert path.read_bytes() == (whole_run / path.relative_to(run)).read_bytes(), path


def test_a_repeated_teacher_is_another_one(command: Command, tmp_path: Path) -> None:
    words = ["--teacher", "diste", "--teacher", "rote", "--teacher", "DistE", "--no-baseline", "--seed", "7"]
    output = command("run", *SMALL, *words, "--out", tmp_path / "run", "--json")
    assert output.code == 0
    models = [row["model"] for row in json.loads(output.out)["rows"]]
    assert models[:3] == ["teacher diste", "teacher rote", "teacher diste-2"]
    teachers = tmp_path / "run/teachers"
    assert sorted(path.name[:8] for path in teachers.iterdir()) == ["diste-64", "diste-64", "rote-64-"]
    first, second = (json.loads((place / "model.json").read_text()) for place in teachers.glob("diste-*"))
    assert first["weights"] != second["weights"] and first["model"] == second["model"]
    seeds = {json.loads((place / "fit/config.json").read_text())["seed"] for place in teachers.glob("diste-*")}
    assert seeds == {7, 1007}
    assert "distilled from diste, rote, diste-2\n" in output.err


def test_its_settings_fed_back_are_the_same_run(whole_run: Path, command: Command) -> None:
    output = command("run", "--config", whole_run / "settings.yaml", "--json")
    assert output.code == 0
    assert output.err.count("finished before and reused") == 4
    assert json.loads(output.out)["settings"] == read(whole_run / "settings.yaml")


def test_other_settings_are_refused(whole_run: Path, command: Command) -> None:
    output = command(*RUN, "--out", whole_run, "--top-k", "6")
    assert (output.code, output.out) == (2, "")
    assert output.err.splitlines()[-2:] == [
        f"mulde: {whole_run}/junior holds a run with other settings; give another --out, "
        "--restart, or the old settings:",
        "  top_k: was 5, is 6",
    ]


def test_other_data_are_refused(whole_run: Path, command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run / "baseline", run / "baseline")
    output = command(*RUN, "--out", run, "--data", "kinships")
    assert output.code == 2
    assert '  data.name: was "nations", is "kinships"\n' in output.err


def test_another_dimension_uses_the_same_teachers(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out: a folder for each Junior, and one for each teacher."""
    monkeypatch.chdir(tmp_path)
    words = ["run", *SMALL, "--teacher", "diste", "--teacher-dim", "4", "--no-baseline"]
    first, second = command(*words), command(*words, "--dim", "2")
    assert (first.code, second.code) == (0, 0)
    assert "reused" not in first.err and second.err.count("finished before and reused") == 1
    folders = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "runs/nations").iterdir())
    assert folders == ["", "roth-2", "roth-4"]
    assert len(list((tmp_path / "runs/nations/teachers").iterdir())) == 1
    folder = next((tmp_path / "runs/nations").glob("roth-2-*"))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["rows"][0]["folder"].startswith("../teachers/diste-4-")
    assert [record["stage"][:16] for record in of_run(folder)][:2] == ["junior", "teachers/diste-4"]


@pytest.mark.parametrize("name", ["TransH", "hyperbolic-transe"])
def test_a_word_of_the_paper(name: str, command: Command, tmp_path: Path) -> None:
    output = command("run", "--teacher", name, "--data", tmp_path / "no.tsv")
    remark = 'mulde: "TransH" is taken as the MulDE paper\'s, which is called hyperbolic_transe here\n'
    assert output.err.startswith(remark) == (name == "TransH")


def test_ctrl_c_and_again(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", *SMALL, "--teacher", "diste", "--teacher-dim", "4", "--no-baseline", "--out", tmp_path / "run"]
    distil = job.stage.distil

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job.stage, "distil", stopped)
    output = command(*words)
    assert (output.code, output.out) == (130, "")
    assert output.err.endswith("mulde: stopped; the same command continues from the last checkpoint\n")
    assert not (tmp_path / "run/summary.json").exists()
    monkeypatch.setattr(job.stage, "distil", distil)
    output = command(*words, "--json")
    assert output.code == 0
    assert output.err.count("finished before and reused") == 1
    assert json.loads(output.out)["rows"][0]["model"] == "teacher diste"


def test_a_budget_is_shared(command: Command, tmp_path: Path) -> None:
    words = ["--teacher", "diste", "--epochs", "1000", "--patience", "1000", "--budget", "4s"]
    output = command("run", *SMALL, *words, "--out", tmp_path / "run")
    assert output.code == 0
    assert output.err.count("stopped by budget") == 3
    again = command("run", *SMALL, *words, "--out", tmp_path / "run")  # no stage gets the time of another one
    assert (again.code, again.out) == (0, output.out)
    assert again.err.count("finished before and reused") == 3


def test_records(whole_run: Path, command: Command, tmp_path: Path) -> None:
    kept = tmp_path / "new/records.jsonl"
    output = command(*RUN, "--out", whole_run, "--save-record", kept)
    assert output.code == 0
    assert f"mulde: 6 records added to {kept}\n" in output.err
    found = [json.loads(line) for line in kept.read_text().splitlines()]
    names = [str(stage.relative_to(whole_run)) for stage in stages(whole_run)]
    assert {record["stage"] for record in found} == {*names, "senior", "ensemble"}
    assert {record["run"] for record in found} == {str(whole_run)}
    again = command(*RUN, "--out", whole_run, "--save-record", kept)
    assert f"mulde: 0 records added to {kept}\n" in again.err
    assert [json.loads(line) for line in kept.read_text().splitlines()] == found


@pytest.mark.parametrize("content", ["mine\n", "[1]\n", '{"epoch": 1}\n', None])
def test_another_file_is_refused_before_the_training(content: str | None, command: Command, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir() if content is None else kept.write_text(content)
    output = command("train", "diste", *SMALL, "--out", tmp_path / "run", "--save-record", kept)
    assert output.code == 2 and not (tmp_path / "run").exists()
    assert re.match(rf"mulde: {kept}(, line 1)?: expected a (file of )?record.*; name another file\n", output.err)
    assert content is None or kept.read_text() == content


def test_an_unfinished_run_is_not_recorded(whole_run: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run/baseline/fit/record.json").unlink()
    with pytest.raises(UsageError, match="run/baseline: not finished, so there is no record yet; repeat the command"):
        of_run(tmp_path / "run")


def test_teachers_side_by_side_are_those_of_one_after_the_other(
    whole_run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads replace the processes, because they start faster."""
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, **_: ThreadPoolExecutor(1))
    output = command(*RUN, "--parallel", "2", "--out", tmp_path / "run")
    assert output.code == 0, output.err
    assert "mulde: 2 teachers, 2 side by side\n" in output.err
    for stage, before in zip(stages(tmp_path / "run"), stages(whole_run), strict=True):
        assert (f"finished before and reused: {stage}\n" in output.err) == (stage.parent.name == "teachers")
        assert (stage / "model.safetensors").read_bytes() == (before / "model.safetensors").read_bytes()


def test_a_repeated_teacher_keeps_its_own_seed_side_by_side(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, **_: ThreadPoolExecutor(1))
    words = [*SMALL, "--data", "nations", "--teacher", "roth", "--teacher", "roth", "--no-baseline", "--parallel", "2"]
    output = command("run", *words, "--out", tmp_path / "run")
    assert output.code == 0, output.err
    seeds = set()
    for place in (tmp_path / "run/teachers").iterdir():
        assert f"finished before and reused: {place}\n" in output.err
        seeds.add(json.loads((place / "fit/config.json").read_text())["seed"])
    assert seeds == {0, job.ANOTHER_SEED}


def test_what_fails_in_a_process_is_reported_by_the_one_that_waits(
    whole_run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", lambda workers, **_: ThreadPoolExecutor(1))
    roth, diste = (tmp_path / "teachers" / stage.name for stage in stages(whole_run)[:2])
    diste.parent.mkdir()
    diste.touch()
    output = command(*RUN, "--parallel", "2", "--out", tmp_path)
    assert output.code == 2
    assert output.err.endswith(f"mulde: {diste}: File exists; name another path\n")
    assert (roth / "fit/record.json").exists()


@pytest.mark.slow
def test_real_processes_side_by_side(whole_run: Path, command: Command, tmp_path: Path) -> None:
    assert command(*RUN, "--parallel", "2", "--out", tmp_path / "run").code == 0
    for stage, before in zip(stages(tmp_path / "run"), stages(whole_run), strict=True):
        assert (stage / "model.safetensors").read_bytes() == (before / "model.safetensors").read_bytes()


def test_several_gpus_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parallel.devices("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert parallel.devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert parallel.devices("cuda:1", 2) == ["cuda:1", "cuda:1"]


def test_restart_moves_the_run_aside_and_keeps_shared_teachers(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", *SMALL, "--teacher", "diste", "--teacher-dim", "4", "--no-baseline"]
    command(*words)
    [run] = Path("runs/nations").glob("roth-*")
    for end in ("", "-2"):
        before = (run / "summary.json").read_bytes()
        output = command(*words, "--restart")
        [line] = [line for line in output.err.splitlines() if "moved" in line]
        aside = Path(line.rpartition(" moved to ")[2])
        assert line == f"mulde: {run} moved to {aside}"
        assert aside.name.startswith(f"{run.name}.before-restart-20") and aside.name.endswith(end)
        assert (aside / "summary.json").read_bytes() == before and (run / "summary.json").exists()
        assert output.err.count("finished before and reused") == 1  # the teacher
    assert "restart" not in (run / "settings.yaml").read_text()


@pytest.mark.parametrize("verb", [["run"], ["train", "roth"], ["distil", "--teacher", "umls-8"]])
def test_restart_leaves_other_folders_alone(verb: list[str], command: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    output = command(*verb, "--data", "umls", "--restart", "--out", tmp_path)
    assert output.code == 2 and [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    moves = f"mulde: --restart moves a run folder aside, and {tmp_path} is none; name another --out"
    assert output.err.splitlines()[-1] == moves
