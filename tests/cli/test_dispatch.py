"""The verbs are found, and every ending becomes a sentence and an exit code."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import mulde
from mulde import cli

VERBS = sorted(cli.FOLDER.glob("[!_]*.py"))
AddVerb = Callable[..., None]


@pytest.fixture
def add_verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AddVerb:
    """Adds a verb for the length of a test; its code counts as the package's own."""

    def add(body: str, name: str = "verb", ours: bool = True) -> None:
        file = tmp_path / f"{name}.py"
        file.write_text("def main(argv):\n" + textwrap.indent(body, "    "), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"mulde.cli.{name}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, f"mulde.cli.{name}", module)
        monkeypatch.setattr(cli, "_verbs", lambda: {name: file})
        if ours:
            monkeypatch.setattr(cli, "OURS", (*cli.OURS, tmp_path))

    return add


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.stem)
def test_every_verb_has_a_summary_and_a_main(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ast.get_docstring(tree)
    assert len(functions["main"].args.args) == 1


def test_help_shows_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for path in VERBS:
        assert f"  {path.stem} " in text
    assert "list       Show the scorers, methods, graphs or models there are, one line each" in text


def test_no_verb_shows_help_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: mulde VERB" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mulde {mulde.__version__}\n"


def test_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lst"]) == 2
    said = capsys.readouterr()
    assert said.err == 'mulde: no verb called "lst"; nearest: list; all are listed by `mulde --help`\n'
    assert said.out == ""


def test_distill_is_distil(add_verb: AddVerb, capsys: pytest.CaptureFixture[str]) -> None:
    add_verb("print(*argv); return 0", name="distil")
    assert cli.main(["distill", "--data", "umls"]) == 0
    assert capsys.readouterr().out == "--data umls\n"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("import mulde; raise mulde.UsageError('a sentence')", 2, "mulde: a sentence\n"),
        ("import kge_data; raise kge_data.DataError('a sentence')", 2, "mulde: a sentence\n"),
        ("raise ValueError(\n'a sentence'\n)", 2, "mulde: a sentence\n"),
        ("raise ArithmeticError('a loss became nan')", 1, "mulde: a loss became nan\n"),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(2)", 2, ""),
        (
            "raise KeyboardInterrupt",
            130,
            "mulde: stopped; the same command continues from the last checkpoint\n",
        ),
    ],
)
def test_exit_codes(add_verb: AddVerb, capsys: pytest.CaptureFixture[str], body: str, code: int, said: str) -> None:
    add_verb(body)
    assert cli.main(["verb"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("body", ["return int('x')", "return 1 / 0", "raise RuntimeError('odd')"])
def test_a_mistake_of_ours_shows_where_it_happened(
    add_verb: AddVerb, capsys: pytest.CaptureFixture[str], body: str
) -> None:
    add_verb(body)
    assert cli.main(["verb"]) == 1
    assert body in capsys.readouterr().err.split("Traceback", 1)[1]


def test_a_value_error_of_a_library_shows_where_it_happened(
    add_verb: AddVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    add_verb("raise ValueError('not for users')", ours=False)
    assert cli.main(["verb"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys; from mulde.cli import main; main(['--help']);"
        "print({'torch', 'numpy', 'tyro', 'pykeen'} & set(sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "set()\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "mulde", "list", "scorers"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None and run.stderr is not None
    run.stdout.close()
    with run.stderr as errors:
        assert errors.read() == b""
    assert run.wait() == 0
