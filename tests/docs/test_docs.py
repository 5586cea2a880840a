"""README, pages under docs/ and notebooks: every block of code is run, every option in a command exists.

Blocks of a page are run in their order in one folder and one namespace: `python` blocks as they are, `sh` blocks
command by command. README's follow those of docs/index.md in its folder, because it trains the same. To stay quick,
trainings are cut, as the pages state: `epochs=...` becomes 1 and commands get the options in HURRY. A command that
names a graph or pictures that do not come with the package is not run, only read by its parser. `text` is never run.
README's blocks have no language: their lines that begin with `mulde` are commands, each followed by a remark.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mulde import catalogue, cli
from mulde.config import options_of
from mulde.config.command_line import parse
from mulde.errors import UsageError
from tests.vision.small_students import noise, write_pictures, write_student

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
INDEX = DOCS / "index.md"
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KINDS = {"python", "sh", "text"}
FILLED = re.compile(
    r"^<!-- (?:results|options|gallery|effects).*?^<!-- end -->$|<!-- effect .*?<!-- end -->", re.MULTILINE | re.DOTALL
)
"""Parts that are filled from the results and the code."""
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
ELSEWHERE = re.compile(r"wn18rr|fb15k-237|photos|street\.mp4|photo\.jpg|runs/(small|sizes|stream)|small-onnx")
STUDENT = "docs/students.md"
"""The page on students of image methods: it has one in runs/small, trained for a moment, and a picture."""
TRAINING = ["--epochs", "1", "--eval-every", "1", "--negatives", "4", "--threads", "1"]
HURRY = {
    "run": [*TRAINING, "--teacher-dim", "8", "--top-k", "10"],
    "train": TRAINING,
    "distil": [*TRAINING, "--top-k", "10"],
    "report": ["--queries", "3"],
    "ablate": ["--seeds", "1", "--fraction", "0.01"],
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block; of a notebook, its code cells."""
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        return [("python", "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [("sh" if page == README and not kind else kind, block) for kind, block in found]


def commands(block: str) -> list[list[str]]:
    """The commands that begin with `mulde`, as words, without the remarks behind them."""
    lines = (re.sub(r"(?<=\S) {3,}.*", "", line) for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines())
    return [shlex.split(line) for line in lines if line.startswith("mulde ")]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KGE_DATA_HOME", raising=False)


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # of PyKEEN's training loop
@pytest.mark.parametrize("page", [*(page for page in PAGES if page != README), *NOTEBOOKS], ids=name)
def test_blocks_run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name(page) == STUDENT:
        write_pictures(Path("shapes"), 30)
        write_student(Path("runs/small"), Path("shapes"))
        noise(Path("photo.jpg"), 20, 30)
    run_blocks(page, capsys)
    if page == INDEX:
        run_blocks(README, capsys)


def run_blocks(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the blocks of a page in the working directory."""
    namespace: dict[str, Any] = {"__name__": "docs"}
    for kind, block in blocks(page):
        if kind == "python":
            code = re.sub(r"(epochs(?:=|\": ))\d+", r"\g<1>1", block)
            exec(
                compile("from __future__ import annotations\n" + code, name(page), "exec", dont_inherit=True), namespace
            )
        elif kind == "sh":
            for words in commands(block):
                if ELSEWHERE.search(" ".join(words)):
                    continue
                hurry = TRAINING if any(word.endswith(".py") for word in words) else HURRY.get(words[1], [])
                code = cli.main([*words[1:], *hurry])
                assert code == 0, f"{name(page)}: {' '.join(words)}: {capsys.readouterr().err}"


def refusal(words: list[str], images: bool = False) -> str:
    """The message of the verb's parser for a command; empty if it is valid."""
    if words[0] != "mulde" or words[1] not in cli.verbs():
        return f"no verb: {words[:2]}"
    own = "images." if images and find_spec(f"mulde.cli.images.{words[1]}") else ""
    module = importlib.import_module(f"mulde.cli.{own}{words[1]}")
    try:
        parse(module.Config, words[2:], words[1], "", compose=getattr(module, "compose", None))
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_have_options_that_exist(page: Path) -> None:
    every = [words for kind, block in blocks(page) if kind == "sh" for words in commands(block)]
    assert [message for words in every if (message := refusal(words, name(page) == STUDENT))] == []


def test_a_wrong_option_would_be_seen() -> None:
    assert "--epoch" in refusal(["mulde", "run", "--epoch", "3"])
    assert refusal(["mulde", "ruin"]) and not refusal(["mulde", "run", "--epochs", "3"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_options_named_in_the_text_exist(page: Path) -> None:
    there_are = {word for verb in cli.verbs() for word in _option_words(verb)} | {
        "--help",
        "--help-all",
        "--config",
        "--version",
    }
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    named = {
        word
        for code in re.findall(r"`([^`\n]*)`", text)
        if "torchrun" not in code and not code.startswith(("pip ", "python -m benchmarks."))
        for word in OPTION.findall(code)
    }
    assert named <= there_are


@functools.cache
def _option_words(verb: str) -> tuple[str, ...]:
    """All options of a verb, whatever the method."""
    module = importlib.import_module(f"mulde.cli.{verb}")
    trained = catalogue.verbs_of_methods()
    distilled = tuple(method for method in trained if trained[method] == "distil")
    methods = {"distil": distilled, "run": ("mulde", "offline")}.get(verb, ("",))
    chosen = [{"method": method} if method else {} for method in methods]
    configs = [module.compose(values) if hasattr(module, "compose") else module.Config for values in chosen]
    if find_spec(f"mulde.cli.images.{verb}"):
        configs.append(importlib.import_module(f"mulde.cli.images.{verb}").Config)
    return tuple({word for config in configs for option in options_of(config) for word in option.words})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_are_plain(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {kind for kind, _ in blocks(page)} <= KINDS
    assert text.count("```") == 2 * len(blocks(page)), "a block without a language is not run by anybody"
    assert text.startswith("# ") and max(map(len, FILLED.sub("", text).splitlines())) <= 220
    for kind, block in blocks(page):  # all of a page's commands are ours; README also has the installation
        lines = [line for line in block.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
        assert kind != "sh" or page == README or len(lines) == len(commands(block)), block


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert menu == {str(page.relative_to(DOCS)) for page in PAGES if page != README} | {
        "reference/cli.md",
        "reference/images.md",
        "reference/python/index.md",
    }


def test_every_method_has_a_page() -> None:
    elsewhere = {*catalogue.PAGES, "average"}
    for method, _ in catalogue.names("methods"):
        page = ROOT / catalogue.page_of(method)
        assert page.exists(), f"no page about {method}; write {page.relative_to(ROOT)} and name it in mkdocs.yml"
        text = page.read_text(encoding="utf-8")
        assert "\n$$\n" in text and (f".{method} -->" in text or method in elsewhere)


def test_tests_of_promises_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (DOCS / "promises.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    for path, test in named:
        assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{test}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_shows_its_results(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    shown = [cell for cell in cells if cell["cell_type"] == "code" and cell["outputs"]]
    assert len(shown) >= 3
    assert not [out for cell in shown for out in cell["outputs"] if out["output_type"] == "error"]
    assert "](../examples/" + path.name in (DOCS / "index.md").read_text(encoding="utf-8")
