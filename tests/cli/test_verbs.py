"""The verbs train, distil, evaluate, predict and show: options and output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mulde import cli
from mulde.config import read
from mulde.files import read_json
from mulde.kge.evaluation.protocols import PROTOCOLS
from tests.cli.conftest import SMALL, Command


def test_train_and_distil(command: Command, tmp_path: Path) -> None:
    teacher, junior = tmp_path / "teacher", tmp_path / "junior"
    output = command("train", "RotH", *SMALL, "--out", teacher)
    assert output.code == 0
    assert output.out.startswith("nations, test split, filtered, both directions\nties ")
    assert output.out.endswith(f"\nrun folder: {teacher}\n")
    assert "mulde: roth, 4 dimensions\n" in output.err

    output = command(
        "distill", *SMALL, "--top-k", "5", "--teacher", teacher, "--junior", "refe", "--json", "--out", junior
    )
    assert output.code == 0
    result = json.loads(output.out)
    assert result["run"] == str(junior)
    assert result["fit"]["epochs"] == 2
    assert 0 < result["test"]["realistic"]["mrr"] < 1
    assert f"mulde: Junior refe, 4 dimensions, distilled from {teacher}\n" in output.err
    assert read(junior / "settings.yaml")["teacher"] == [str(teacher)]

    again = command("distil", "--config", junior / "settings.yaml", "--json")
    assert json.loads(again.out)["test"] == result["test"]
    assert f"finished before and reused: {junior}" in again.err


def test_a_single_training_is_recorded(command: Command, tmp_path: Path) -> None:
    run, kept = tmp_path / "run", tmp_path / "records.jsonl"
    output = command("train", "diste", *SMALL, "--out", run, "--save-record", kept, "--json")
    assert output.code == 0 and f"mulde: 1 record added to {kept}\n" in output.err
    [record] = map(json.loads, kept.read_text().splitlines())
    summary = read_json(run / "summary.json")
    assert summary == json.loads(output.out)["summary"]
    assert (record["run"], record["stage"]) == (str(run), ".")
    assert record["metrics"]["with_prior"]["mrr"] == summary["rows"][0]["MRR with prior"]
    assert {"date", "versions", "processor", "threads"} <= summary.keys()
    assert summary["settings"] == read(run / "settings.yaml")
    assert "save_record" not in summary["settings"]
    again = command("train", "--config", run / "settings.yaml", "--save-record", kept)
    assert again.code == 0 and f"finished before and reused: {run}\n" in again.err
    assert len(kept.read_text().splitlines()) == 1


def test_the_default_place(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("train", "diste", *SMALL).out.endswith("run folder: runs/nations/diste-4\n")
    words = ["--junior", "diste", "--teacher", "runs/nations/diste-4", "--method", "average"]
    assert command("distil", *SMALL, *words).out.endswith("run folder: runs/nations/junior-diste-4\n")


@pytest.mark.parametrize("kind", ["tsv", "csv", "nt"])
def test_data_of_the_user(kind: str, command: Command, tmp_path: Path) -> None:
    triples = [(f"e{i}", "knows", f"e{(i * 7 + 3) % 20}") for i in range(20)]
    if kind == "nt":
        pytest.importorskip("pyoxigraph")
    line = {"tsv": "{}\t{}\t{}\n", "csv": "{},{},{}\n", "nt": "<http://e/{}> <http://r/{}> <http://e/{}> .\n"}[kind]
    text = [line.format(*triple) for triple in triples]
    if kind == "csv":
        place = tmp_path / "mine"
        place.mkdir()
        for split, part in (("train", text[:14]), ("valid", text[14:17]), ("test", text[17:])):
            (place / f"{split}.csv").write_text("".join(part))
    else:
        place = tmp_path / f"mine.{kind}"
        place.write_text("".join(text))
    output = command("train", "rote", *SMALL, "--data", place, "--out", tmp_path / "run")
    assert output.code == 0, output.err
    assert "\nmulde: mine: 20 entities, 1 relations, " in output.err
    answers = command("predict", tmp_path / "run", "--head", "http://e/e1" if kind == "nt" else "e1", "--relation",
                      "http://r/knows" if kind == "nt" else "knows", "--top", "3", "--json")  # fmt: skip
    assert len(json.loads(answers.out)["answers"]) == 3


def test_evaluate(model: Path, command: Command) -> None:
    output = command("evaluate", model, "--details", "--split", "valid")
    assert (output.code, output.err) == (0, "mulde: running on cpu, 1 thread\n")
    lines = output.out.splitlines()
    assert lines[0] == "roth, 4 dimensions, 1,514 parameters, trained on nations"
    assert lines[1] == "nations, valid split, filtered, both directions: 398 ranks"
    assert lines[7].startswith("95 % bootstrap interval of the realistic MRR: 0.")
    for column in ("direction", "cardinality", "seen", "relation"):
        assert any(line.startswith(column) for line in lines)
    assert lines[2].split()[:5] == ["ties", "MRR", "Hits@1", "Hits@3", "Hits@10"]
    report = json.loads(command("evaluate", "--json", "--model", model).out)
    assert ("MRR with graph prior" in lines[2]) == report["graph_prior"]
    kept = read_json(model / "test.json")  # of the graph as it was loaded, in another order
    for name in ("realistic", "mrr_interval_95"):
        assert report[name] == pytest.approx(kept[name], rel=1e-12)
    assert {**report["embeddings_only"], **report}.keys() == {**kept["embeddings_only"], **kept}.keys()


def test_evaluate_by_other_protocols(model: Path, command: Command) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    output = command("evaluate", model, "--protocol", "all")
    assert (output.code, output.err) == (0, "mulde: running on cpu, 1 thread\n")
    lines = output.out.splitlines()
    assert lines[1] == "nations, test split, filtered, both directions, embeddings only"
    rows = {line.split()[0]: line.split()[1:] for line in lines[4 : 4 + len(PROTOCOLS)]}
    assert list(rows) == list(PROTOCOLS)
    assert lines[4 + len(PROTOCOLS) :] == [f"{name}: {rules.about}" for name, rules in PROTOCOLS.items()]
    kept = read_json(model / "test.json")
    assert rows["strict"][0] == f"{kept['embeddings_only']['mrr']:.4f}"
    assert float(rows["no-self"][0]) > float(rows["strict"][0])

    one = command("evaluate", model, "--protocol", "pykeen-wn18rr", "--details", "--sample", "20")
    assert "test split, a random sample, filtered" in one.out and "\nprotocol seen, by relation\n" in one.out
    words = ["--protocol", "no-self", "--sample", "20", "--json"]
    report = json.loads(command("evaluate", model, *words).out)
    assert (report["protocol"], report["headline"], report["sample_of"]) == ("no-self", "pessimistic", 201)
    assert {path: path.stat().st_mtime_ns for path in model.rglob("*")} == before  # nothing is kept


def test_predict(model: Path, command: Command) -> None:
    words = ["--head", "usa", "--relation", "embassy", "--top", "3", "--embeddings-only", "--no-probability"]
    output = command("predict", model, *words)
    assert (output.code, output.err) == (0, "mulde: running on cpu, 1 thread\n")
    title, header, _, *rows = output.out.splitlines()
    assert title == "(usa, embassy, ?)"
    assert header.split() == ["rank", "answer", "score", "known"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]

    words = ["--tail", "usa", "--relation", "embassy", "--json"]
    everything = json.loads(command("predict", model, *words, "--top", "20").out)
    assert everything["query"] == "(?, embassy, usa)"
    assert [answer["rank"] for answer in everything["answers"]] == list(range(1, 14))  # not usa itself
    new = json.loads(command("predict", model, *words, "--exclude-known").out)["answers"]
    assert new == [answer for answer in everything["answers"] if answer["known_in"] is None][:10]


def test_show_a_model(model: Path, command: Command) -> None:
    output = command("show", model)
    assert (output.code, output.err) == (0, "")
    lines = output.out.splitlines()
    assert lines[:2] == [str(model), "roth, 4 dimensions, 1,514 parameters, trained on nations"]
    assert lines[2].startswith("2 epochs in ")
    assert lines[4].split() == ["epoch", "junior/hard", "junior/soft", "senior/hard", "valid/mrr"]
    assert [line.split()[0] for line in lines[6:8]] == ["1", "2"]
    assert "test split, filtered, both directions" in lines
    everything = json.loads(command("show", model, "--json").out)
    assert everything["model"]["scorer"] == "roth"
    assert [line["epoch"] for line in everything["curve"]] == [1, 2]


def test_show_a_whole_run(whole_run: Path, command: Command) -> None:
    output = command("show", whole_run)
    assert "\nJunior " in output.out
    stages = json.loads(command("show", whole_run, "--json").out)["stages"]
    assert sorted(stages) == sorted(str(path.parent.parent) for path in whole_run.rglob("fit/record.json"))


def test_show_an_unfinished_run(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run/fit").mkdir(parents=True)
    (tmp_path / "run/fit/config.json").write_text('{"config": {}}')
    (tmp_path / "run/fit/log.jsonl").write_text(
        '{"step": 1, "epoch": 1, "seconds": 1, "model/hard": 0.5}\n{"step": 2, "epo'
    )
    output = command("show", tmp_path / "run")
    assert output.out.startswith(f"{tmp_path}/run\nnot finished; the same command continues it\n")
    assert output.out.split()[-2:] == ["1", "0.5000"]  # the line that is complete


VERBS = sorted(path.stem for path in cli.FOLDER.glob("[!_]*.py"))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("columns", [80, 120])
def test_help(verb: str, columns: int, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output = command(verb, "--help")
    assert (output.code, output.err) == (0, "")
    assert output.out.startswith(f"usage: mulde {verb} ")
    assert "\n\n\n" not in output.out and "<<<<" not in output.out
    assert f"\n    mulde {verb} " in output.out or verb == "list"
    for line in output.out.splitlines():
        assert line == line.rstrip()
        assert len(line) <= columns
