"""A method in a file outside the package: it passes the contract, and the command line takes it by its path."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mulde import cli, user_code
from mulde.engine import Method
from mulde.errors import UsageError
from mulde.kge.feeds import QueryBatch
from mulde.kge.options import Distillation
from mulde.kge.training import supervised
from mulde.kge.training.stage import distil, train
from tests.contracts.method import check_method
from tests.kge import toys

FILE = Path(__file__).resolve().parents[2] / "examples/my_own_method.py"


def test_contract() -> None:
    build = user_code.method_in(FILE).build
    graph = toys.toy_graph()

    def make() -> tuple[Method, QueryBatch]:
        networks = {"student": toys.model(graph), "teacher": toys.ensemble(graph)}
        return build(Distillation(), graph, networks), toys.batch(graph)

    check_method(make)


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
    assert "holds a run with other settings" in (captured := capsys.readouterr().err)
    assert captured.endswith("\n  the file of the method was edited\n")


def test_an_edited_class_is_another_scorer(tmp_path: Path) -> None:
    """Other code in the file of the class does not matter."""
    code = "from mulde.kge.scorers.rote import RotE\n\nclass Own(RotE):\n    sign = 1\n"
    config, graph = toys.options(supervised.Config, epochs=1, dim=4), toys.toy_graph()

    def trained(text: str) -> bool:
        (tmp_path / "own.py").write_text(text)
        return train(user_code.module_of(tmp_path / "own.py").Own, graph, config, tmp_path / "run").record.reused

    assert not trained(code)
    assert trained(code + "\nprint('done')\n")
    with pytest.raises(UsageError, match="the class of the scorer was edited"):
        trained(code.replace("1", "2"))


def test_a_run_takes_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "nations", "--dim", "2", "--epochs", "1", "--teacher", "diste", "--teacher-dim", "2"]
    words += ["--no-baseline", "--threads", "1", "--json", "--out", str(tmp_path), "--method", str(FILE)]
    assert cli.main(["run", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in result["rows"]] == ["teacher diste", "teacher ensemble", "Junior"]
    assert result["settings"]["method"] == str(FILE)


OWN = """
from dataclasses import dataclass, field

import mulde
from mulde.engine import Trained
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training


@dataclass(frozen=True, kw_only=True)
class Config:
    \"\"\"Mine.\"\"\"

    junior: str = "rote"
    \"\"\"Scorer.\"\"\"
    model: ModelConfig = field(default_factory=lambda: ModelConfig(dim=4))
    training: Training = field(default_factory=Training)
    rounds: int = 2
    \"\"\"Fits, one after the other.\"\"\"


class Mine(mulde.Method):
    def __init__(self, student):
        super().__init__()
        self.student = student

    def learners(self):
        return {"student": self.student.parameters()}

    def losses(self, batch, clock):
        return {"student/hard": hard_loss(self.student, batch)}

    def predict(self, batch):
        return self.student.score_all(batch.heads, batch.relations)


def build(config, data, networks):
    return Mine(networks["student"])


def run(config, data, session, networks):
    for number in range(config.rounds):
        record = session.fit(build(config, data, networks), config, name=f"round{number}")
    return Trained(networks["student"], "rank", record=record)
"""


def test_a_file_with_options_and_stages_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(OWN)
    words = ["distil", "--teacher", "umls-8", "--data", "umls", "--epochs", "1", "--method", str(tmp_path / "own.py")]
    assert cli.main([*words, "--rounds", "3", "--threads", "1", "--out", str(tmp_path / "junior")]) == 0
    assert sorted(path.name for path in (tmp_path / "junior").glob("round*")) == ["round0", "round1", "round2"]
    assert json.loads((tmp_path / "junior/model.json").read_text())["model"]["dim"] == 4
    capsys.readouterr()
    assert cli.main(["distil", "--method", str(tmp_path / "own.py"), "--help-all"]) == 0
    assert "--rounds N" in capsys.readouterr().out


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
        (
            "def build(config, data): ...",
            "build of own.py should take config, data and networks: too many positional arguments",
        ),
        ("class Config: ...\ndef build(config, data, networks): ...", "Config of own.py should be a dataclass"),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass Config: ...\ndef build(config, data, networks): ...",
            "Config of own.py has no junior, model, training; copy these from mulde.kge.options.Distillation",
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


def test_a_build_that_returns_something_else(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def build(config, data, networks):\n    return 7\n")
    graph = toys.toy_graph()
    with pytest.raises(UsageError) as complaint:
        distil("roth", [toys.model(graph)], graph, Distillation(), None, method=tmp_path / "own.py")
    assert str(complaint.value) == "build of own.py should return a mulde.Method or a Setup; got int"


def test_a_class_of_the_file_is_known_by_its_module(tmp_path: Path) -> None:
    """Dataclasses with postponed annotations need the module; the file may have the name of a package."""
    lines = (
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "@dataclass",
        "class A:",
        " b: int",
    )
    (tmp_path / "torch.py").write_text("\n".join(lines))
    assert user_code.module_of(tmp_path / "torch.py").A(3).b == 3
    assert hasattr(sys.modules["torch"], "Tensor")
