"""A method in a file outside the package: it obeys the law book, and the command line takes it by its path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mulde import catalogue, cli
from mulde.errors import UsageError
from mulde.kge.stages import DistilConfig, distil
from tests.contracts.method import check_method
from tests.kge import toys

FILE = Path(__file__).resolve().parents[2] / "examples/my_own_method.py"


def test_contract() -> None:
    build = catalogue.from_file(FILE, "build")
    graph = toys.toy_graph()
    check_method(lambda: (build(toys.model(graph), toys.panel(graph), DistilConfig()), toys.batch(graph)))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--data", "nations", "--epochs", "2", "--every", "1", "--negatives", "4", "--threads", "1"]
    assert cli.main(["train", "roth", *small, "--dim", "6", "--out", str(tmp_path / "teacher")]) == 0
    words = ["distil", "--teacher", str(tmp_path / "teacher"), *small, "--dim", "4", "--method", str(FILE)]
    assert cli.main([*words, "--out", str(tmp_path / "junior")]) == 0
    lines = (tmp_path / "junior/fit/log.jsonl").read_text().splitlines()
    assert "student/order" in json.loads(lines[-1])
    assert (tmp_path / "junior/model.safetensors").exists() and not (tmp_path / "junior/senior.safetensors").exists()
    assert "MRR" in capsys.readouterr().out.upper()


def test_a_file_is_for_distil(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--data", "nations", "--method", str(FILE)]) == 2
    assert "run takes a method by name; give your file to `mulde distil`" in capsys.readouterr().err
    graph = toys.toy_graph()
    with pytest.raises(UsageError, match="a file is read by `mulde distil`; from Python pass its build instead"):
        distil("roth", [toys.model(graph)], graph, DistilConfig(method="x.py"), None)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("no_such.py", "no_such.py does not exist; name a method or the path of a Python file"),
        ("empty.py", "empty.py declares no build; `mulde list methods` shows the methods there are"),
        ("muldee", "method should be mulde, average, or the path of a Python file; got 'muldee'"),
    ],
)
def test_bad_files(method: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.py").write_text("")
    with pytest.raises(UsageError) as told:
        DistilConfig(method=method)
        catalogue.from_file(Path(method), "build")
    assert str(told.value) == sentence
