"""A graph that differs from the one of the training is told by every verb and never answered from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mulde.files import read_json, write_json
from tests.cli.conftest import SMALL, Command

PEOPLE = [f"p{number:02}" for number in range(12)]
OWN, OTHER = ([f"{head}\tknows\t{PEOPLE[(i * step + 1) % 12]}\n" for i, head in enumerate(PEOPLE)] for step in (3, 5))
TOLD = (
    "kg differs from the graph of the training: 10 triples added, 10 triples removed; the graph of the training is used"
)


def write(folder: Path, lines: list[str]) -> None:
    folder.mkdir(parents=True)
    parts = {"train": lines, "valid": lines[:3], "test": lines[3:5]}
    for split, part in parts.items():
        (folder / f"{split}.txt").write_text("".join(part))


@pytest.fixture
def run(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model trained on the folder kg of here; the working folder is elsewhere, where kg has other triples."""
    write(tmp_path / "here/kg", OWN)
    write(tmp_path / "elsewhere/kg", OTHER)
    monkeypatch.chdir(tmp_path / "here")
    assert command("train", "diste", *SMALL, "--data", "kg", "--out", tmp_path / "run").code == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "run"


VERBS = {
    "predict": ["--head", "p00", "--relation", "knows", "--json"],
    "evaluate": ["--json"],
    "classification": ["--task", "classification", "--json"],
    "pack": ["--out", "bundle.zip"],
    "export": ["--to", "int8", "--out", "small.zip", "--max-loss", "1"],
    "tables": ["--to", "tsv", "--out", "tables"],
}
NAMES = {"classification": "evaluate", "tables": "export"}


@pytest.mark.parametrize("name", VERBS)
def test_another_graph_of_the_same_name(
    name: str, run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [NAMES.get(name, name), run, *VERBS[name]]
    (tmp_path / "nowhere").mkdir()
    outputs = {}
    for place in ("elsewhere", "here", "nowhere"):
        monkeypatch.chdir(tmp_path / place)
        outputs[place] = command(*words)
        (run / "calibration.json").unlink(missing_ok=True)
    assert {(output.code, output.out) for output in outputs.values()} == {(0, outputs["here"].out)}
    told = {place: [line for line in output.err.splitlines() if "differs" in line] for place, output in outputs.items()}
    assert told == {"elsewhere": [f"mulde: {TOLD}; train again to include the changes"], "here": [], "nowhere": []}


def test_a_teacher_of_another_graph(run: Path, command: Command) -> None:
    words = ["--junior", "diste", "--teacher", run, "--method", "average", "--out", "junior"]
    output = command("distil", *SMALL, "--data", "kg", *words)
    assert output.code == 0, output.err
    told = f"teacher {run} was trained on other triples than those of kg: 10 triples added, 10 triples removed"
    assert f"mulde: {told}\n" in output.err


def test_a_graph_that_is_given(run: Path, command: Command) -> None:
    query = ["predict", run, "--head", "p02", "--relation", "knows", "--json"]
    own, other = (command(*query, *words) for words in ([], ["--data", "kg"]))
    assert other.err == (
        "mulde: kg differs from the graph of the training: 10 triples added, 10 triples removed; kg is used\n"
        "mulde: running on cpu, 1 thread\n"
    )
    known = [
        {answer["identifier"]: answer["known_in"] for answer in json.loads(output.out)["answers"]}
        for output in (own, other)
    ]
    assert (known[0]["p07"], known[1]["p11"]) == ("train", "train") and known[0] != known[1]
    figures = command("evaluate", run, "--data", "kg")
    assert figures.out.splitlines()[1].startswith("kg (--data kg), test split, filtered, both directions: 4 ranks")
    refused = command("evaluate", run, "--data", "nations")
    assert refused.code == 2
    assert refused.err.startswith(f"mulde: nations: expected a graph with the names of model {run}, but 1,992 of its ")


def test_a_whole_run_takes_the_place_of_its_model(
    whole_run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    summary = read_json(run / "summary.json")
    query = ["--head", "usa", "--relation", "embassy", "--threads", "1", "--no-probability"]
    for recommended, expected in (("baseline", "baseline"), ("gone", "junior"), (None, "junior")):
        named = {} if recommended is None else {"recommended": recommended}
        kept = {key: value for key, value in summary.items() if key != "recommended"}
        write_json(run / "summary.json", kept | named)
        output = command("predict", run, *query)
        assert output.err == (
            f"mulde: {run} holds several models; {run / expected} is used, the recommended one; `mulde show {run}` "
            "lists all\nmulde: running on cpu, 1 thread\n"
        )
        assert output.out == command("predict", run / expected, *query).out
    for words in (["evaluate", run], ["pack", run, "--out", tmp_path / "x.zip"],
                  ["export", run, "--to", "tsv", "--out", tmp_path / "y"]):  # fmt: skip
        output = command(*words)
        assert output.code == 0 and f"{run / 'junior'} is used" in output.err
    above = command("predict", tmp_path, *query)
    assert above.err == f"mulde: {tmp_path}: expected a model or a run, found runs in it: {run}; name one\n"
    shown = command("show", run).out
    assert "baseline" in shown and "junior" in shown
    assert (run / "junior/known.npz").is_file()
