"""Dispatch of verbs, help texts that are fast and fit a screen, and exit codes with one-sentence errors."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import mulde
from mulde import cli
from mulde.config import options_of

VERBS = list(cli.verbs().values())
LIGHT = sorted(cli.verbs().keys() - {"distil", "run", "train"})
"""Verbs whose help imports no torch, numpy or pandas."""
AddVerb = Callable[..., None]


@pytest.fixture
def add_verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AddVerb:
    """Adds a verb for the duration of a test."""

    def add(body: str, name: str = "verb") -> None:
        file = tmp_path / f"{name}.py"
        file.write_text("def main(argv):\n" + textwrap.indent(body, "    "), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"mulde.cli.{name}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, f"mulde.cli.{name}", module)
        monkeypatch.setattr(cli, "verbs", lambda: {name: file})

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
    assert "list       List scorers, methods, graphs, pretrained models or runs, one line" in text


def test_no_verb_shows_help_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: mulde VERB" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mulde {mulde.__version__}\n"


def test_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lst"]) == 2
    printed = capsys.readouterr()
    assert printed.err == 'mulde: no verb called "lst"; nearest: list; all are listed by `mulde --help`\n'
    assert printed.out == ""


def test_distill_is_distil(add_verb: AddVerb, capsys: pytest.CaptureFixture[str]) -> None:
    add_verb("print(*argv); return 0", name="distil")
    assert cli.main(["distill", "--data", "umls"]) == 0
    assert capsys.readouterr().out == "--data umls\n"


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("import mulde; raise mulde.UsageError('a sentence')", 2, "mulde: a sentence\n"),
        ("import kge_data; raise kge_data.DataError('a sentence')", 2, "mulde: a sentence\n"),
        ("from mulde.errors import missing; raise missing('a thing is read with x', 'y')", 2,
         "mulde: a thing is read with x; install it with `pip install mulde[y]`\n"),
        ("from mulde.engine import NonFiniteLoss; raise NonFiniteLoss('a loss became nan')", 1,
         "mulde: a loss became nan\n"),
        ("from mulde.metrics.ranks import NonFiniteScores; raise NonFiniteScores('nan')", 1, "mulde: nan\n"),
        ("open('no/such/file')", 2, "mulde: no/such/file: No such file or directory; name another path\n"),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(2)", 2, ""),
        (
            "raise KeyboardInterrupt",
            130,
            "mulde: stopped; the same command continues from the last checkpoint\n",
        ),
    ],
)  # fmt: skip
def test_exit_codes(add_verb: AddVerb, capsys: pytest.CaptureFixture[str], body: str, code: int, sentence: str) -> None:
    add_verb(body)
    assert cli.main(["verb"]) == code
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize(
    "body",
    [
        "return int('x')",
        "return 1 / 0",
        "raise RuntimeError('odd')",
        "raise ValueError('odd')",
        "import no_such_module",
    ],
)
def test_a_mistake_of_the_program_shows_where_it_happened(
    add_verb: AddVerb, capsys: pytest.CaptureFixture[str], body: str
) -> None:
    add_verb(body)
    assert cli.main(["verb"]) == 1
    assert body in capsys.readouterr().err.split("Traceback", 1)[1]


def help_of(*words: str) -> tuple[str, set[str]]:
    """The help text of a command in 80 columns, and the slow packages that it imports."""
    code = (
        "import sys; from mulde.cli import main; main(sys.argv[1:]);"
        "print(*({'torch', 'numpy', 'pandas', 'pykeen'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"})
    return run.stdout, set(run.stderr.split())


def test_help_imports_nothing_slow() -> None:
    assert help_of("--help")[1] == set()


@pytest.mark.parametrize("verb", LIGHT)
def test_help_of_a_verb_is_quick_and_fits_a_screen(verb: str) -> None:
    text, slow = help_of(verb, "--help")
    assert slow == set()
    assert len(text.splitlines()) <= 40 and all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("verb", cli.verbs())
def test_the_options_that_matter_first_exist(verb: str) -> None:
    module = importlib.import_module(f"mulde.cli.{verb}")
    first, options = getattr(module, "FIRST", ()), {option.name for option in options_of(module.Config)}
    assert len(first) == len(set(first)) <= 10 and set(first) <= options


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "mulde", "list", "scorers"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None and run.stderr is not None
    run.stdout.close()
    with run.stderr as errors:
        assert errors.read() == b""
    assert run.wait() == 0
