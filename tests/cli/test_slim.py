"""An installation without torch: numpy and onnxruntime alone answer from an exported model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mulde import cli
from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import contextlib, io, json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {"mulde", "kge_data", "numpy", "onnxruntime"}:
            if not top.startswith("_"):
                raise ModuleNotFoundError(f"No module named {top!r}", name=top)

sys.meta_path.insert(0, Blocked())
from mulde import cli
outputs = []
for words in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    outputs.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(outputs))
"""


def without_torch(*commands: list[str], code: str = CODE) -> list[list[object]]:
    """Exit code, output and errors of commands, in one process that can import nothing but numpy and onnxruntime."""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=json.dumps(commands), capture_output=True, text=True, check=True
    )
    found: list[list[object]] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """umls-8 as an ONNX bundle, in a folder."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    place = tmp_path_factory.mktemp("slim") / "umls-onnx"
    assert cli.main(["export", "umls-8", "--to", "onnx", "--out", str(place)]) == 0
    return place


QUERY = ["--head", "virus", "--relation", "causes"]


def test_an_exported_model_answers(exported: Path, tmp_path: Path, command: Command) -> None:
    queries, out = tmp_path / "queries.csv", tmp_path / "answers.csv"
    queries.write_text("head,relation,tail\nvirus,causes,\nvirus,,human\nvirus,causes,human\nnobody,causes,\n")
    asked = [
        ["predict", str(exported), *QUERY, "--json"],
        ["predict", str(exported), *QUERY, "--tail", "human", "--json"],
        ["predict", str(exported), "--queries", str(queries), "--out", str(out), "--top", "3"],
        ["predict", str(exported), "--neighbors", "virus"],
    ]
    answers, triple, many, neighbours = without_torch(*asked)
    assert [answers[0], triple[0], many[0], neighbours[0]] == [0, 0, 0, 2], (answers, triple, many, neighbours)
    found, expected = (
        json.loads(text) for text in (str(answers[1]), command("predict", "umls-8", *QUERY, "--json").out)
    )
    assert found["graph_prior"] and len(found["answers"]) == 10
    for ours, theirs in zip(found["answers"], expected["answers"], strict=True):
        assert [ours[name] for name in SAME] == [theirs[name] for name in SAME]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4) and 0 < ours["probability"] < 1
    expected = json.loads(command("predict", "umls-8", *QUERY, "--tail", "human", "--json").out)
    found = json.loads(str(triple[1]))
    assert (found["rank"], found["known_in"]) == (expected["rank"], expected["known_in"])
    assert found["score"] == pytest.approx(expected["score"], abs=1e-4)
    assert len(out.read_text().splitlines()) == 1 + 3 + 3 + 1 + 1
    assert "--neighbors needs the original model" in str(neighbours[2])


SAME = ("rank", "identifier", "known_in")


def test_every_verb_says_what_is_missing(exported: Path, tmp_path: Path) -> None:
    """Exit code 2 and one sentence, or a result; never a traceback."""
    words = {
        "ablate": ["kd"],
        "distil": ["--teacher", "umls-8"],
        "evaluate": ["umls-8"],
        "export": ["umls-8", "--to", "onnx", "--out", str(tmp_path / "o.zip")],
        "list": ["models"],
        "pack": ["umls-8"],
        "predict": ["umls-8", *QUERY],
        "report": ["runs"],
        "show": [str(exported)],
        "stream": ["film.mp4"],
    }
    asked = [["--help"], *([verb, *words.get(verb, [])] for verb in cli.verbs())]
    asked += [[verb, "--help"] for verb in cli.verbs()]
    for command_, (code, out, error) in zip(asked, without_torch(*asked), strict=True):
        assert "Traceback" not in str(error), (command_, error)
        if command_[0] in ("--help", "list", "show") or "--help" in command_:
            assert (code, error) == (0, "") and out, command_
        else:
            assert code == 2 and str(error).count("\n") == 1, (command_, error)
    missing = without_torch(["train"])[0][2]
    assert missing == (
        "mulde: this needs torch, which is not installed; `pip install mulde` (without it, only `mulde predict` with "
        "an ONNX bundle works)\n"
    )


def test_python_without_torch(exported: Path) -> None:
    code = CODE.replace(
        "from mulde import cli\n",
        "import mulde\n"
        f"model = mulde.load({str(exported)!r})\n"
        "one = mulde.predict(model, head='virus', relation='causes', top=2)\n"
        f"many = mulde.predict({str(exported)!r}, queries=[('virus', 'causes', None)], top=2)\n"
        "assert [answer.identifier for answer in one] == many.columns['tail'], many\n"
        "from mulde import cli\n",
    )
    assert without_torch(["--version"], code=code)[0][0] == 0
