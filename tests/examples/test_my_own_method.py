"""A method in a file outside the package: it obeys the law book, and the command line takes it by its path."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from mulde import cli, user_code
from mulde.engine.checkpoint import ConfigurationChanged
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.training.options import DistilConfig, FitConfig
from mulde.kge.training.stage import distil, train
from tests.contracts.method import check_method
from tests.kge import toys

FILE = Path(__file__).resolve().parents[2] / "examples/my_own_method.py"


def test_contract() -> None:
    build = user_code.from_file(FILE, "build")
    graph = toys.toy_graph()
    check_method(lambda: (build(toys.model(graph), toys.ensemble(graph), DistilConfig()), toys.batch(graph)))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--data", "nations", "--epochs", "2", "--eval-every", "1", "--negatives", "4", "--threads", "1"]
    assert cli.main(["train", "roth", *small, "--dim", "6", "--out", str(tmp_path / "teacher")]) == 0
    words = ["distil", "--teacher", str(tmp_path / "teacher"), *small, "--dim", "4", "--method", str(FILE)]
    assert cli.main([*words, "--out", str(tmp_path / "junior")]) == 0
    lines = (tmp_path / "junior/fit/log.jsonl").read_text().splitlines()
    assert "student/order" in json.loads(lines[-1])
    assert (tmp_path / "junior/model.safetensors").exists() and not (tmp_path / "junior/senior.safetensors").exists()
    assert "MRR" in capsys.readouterr().out.upper()


def test_an_edited_file_is_another_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.py"
    own.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    words = ["distil", "--teacher", "umls-8", "--data", "umls", "--dim", "4", "--epochs", "1", "--method", str(own)]
    words += ["--out", str(tmp_path / "junior"), "--threads", "1"]
    assert cli.main(words) == cli.main(words) == 0
    assert "finished before and reused" in capsys.readouterr().err
    own.write_text(own.read_text(encoding="utf-8").replace("0.5", "0.6"), encoding="utf-8")
    assert cli.main(words) == 2
    assert "holds a run with other settings" in (said := capsys.readouterr().err)
    assert re.search(r'\n  method_source: was "\w{32}", is "\w{32}"\n$', said)


def test_an_edited_class_is_another_scorer(tmp_path: Path) -> None:
    """What stands beside the class in its file does not matter."""
    code = "from mulde.kge.scorers.rote import RotE\n\nclass Own(RotE):\n    sign = 1\n"
    fit, shape, graph = FitConfig(epochs=1), ModelConfig(dim=4), toys.toy_graph()

    def trained(text: str) -> bool:
        (tmp_path / "own.py").write_text(text)
        return train(user_code.from_file(tmp_path / "own.py", "Own"), graph, fit, shape, tmp_path / "run").record.reused

    assert not trained(code)
    assert trained(code + "\nprint('done')\n")
    with pytest.raises(ConfigurationChanged, match="scorer_source: was"):
        trained(code.replace("1", "2"))


def test_a_file_is_for_distil(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--data", "nations", "--method", str(FILE)]) == 2
    assert "run takes a method by name; give your file to `mulde distil`" in capsys.readouterr().err
    graph = toys.toy_graph()
    with pytest.raises(UsageError, match="a file is read by `mulde distil`; from Python pass its build instead"):
        distil("roth", [toys.model(graph)], graph, DistilConfig(method="x.py"), None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "own.py does not exist; name a method or the path of a Python file"),
        ("", "own.py has no function build, which makes the method; and no class in it inherits from mulde.Method"),
        (
            "from mulde import Method\nclass Mine(Method): ...",
            "own.py has no function build, which makes the method; add one that returns a Mine",
        ),
        ("a\0", "own.py: running the file ended in SyntaxError: source code string cannot contain null bytes"),
        ("build = 1\ndef build(:", "own.py, line 2: Python cannot read it: invalid syntax"),
        (
            "\nimport no_such",
            "own.py, line 2: running the file ended in ModuleNotFoundError: No module named 'no_such'",
        ),
    ],
)
def test_bad_files(
    text: str | None,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("own.py").write_text(text)
    assert cli.main(["distil", "--data", "nations", "--teacher", "any", "--method", "own.py"]) == 2
    assert capsys.readouterr().err == f"mulde: {sentence}\n"


def test_other_wrong_methods() -> None:
    with pytest.raises(UsageError) as told:
        DistilConfig(method="muldee")
    assert str(told.value) == "method should be mulde, average, offline, or the path of a Python file; got 'muldee'"
    graph = toys.toy_graph()
    with pytest.raises(UsageError) as told:
        distil("roth", [toys.model(graph)], graph, DistilConfig(method="own.py"), None, build=lambda *_: 7)  # type: ignore
    assert str(told.value) == "build of own.py should return a mulde.Method; got int"


def test_a_class_of_the_file_is_known_by_its_module(tmp_path: Path) -> None:
    """Or dataclasses with postponed annotations would not work; and a file may be called like a package."""
    lines = (
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "@dataclass",
        "class A:",
        " b: int",
    )
    (tmp_path / "torch.py").write_text("\n".join(lines))
    assert user_code.from_file(tmp_path / "torch.py", "A")(3).b == 3
    assert hasattr(sys.modules["torch"], "Tensor")
