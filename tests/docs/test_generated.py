"""Pages filled from the code: options, modules, formulas."""

from __future__ import annotations

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

from mulde import cli
from mulde.config import hints_of, options_of
from mulde.kge.methods.mulde import Config
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_command_line_has_every_verb_and_option(generate: ModuleType) -> None:
    page = generate.cli_reference()
    for verb in cli.verbs():
        assert f"\n## mulde {verb}\n" in page
    section = page.partition("## mulde run\n")[2].partition("\n## ")[0]
    for option in options_of(Config):
        assert f"| `{option.spelling}` |" in section
    assert "Seed of initial weights" in section


def test_options_of_a_method(generate: ModuleType) -> None:
    table = generate.config_table("mulde.kge.methods.mulde")
    assert "| `soft_weight` | `0.5` | Weight of the soft loss" in table
    own = hints_of(Config).keys() - hints_of(ModelConfig).keys() - hints_of(Training).keys()
    assert {row.split("`")[1] for row in table.splitlines()[2:]} == {*own, "model", "training"}
    assert "not part of this installation" in generate.config_table("mulde.kge.no_such_method")


def test_a_result_that_is_not_recorded_yet_is_a_sentence(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("latex2mathml")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    page = "# Results\n\n{{ recorded results/some.md }}\n"
    assert generate.with_code(page) == "# Results\n\n*Not recorded yet.*\n"
    (tmp_path / "results").mkdir()
    (tmp_path / "results/some.md").write_text("| figure |\n")
    assert generate.with_code(page) == "# Results\n\n| figure |\n"
    with pytest.raises(FileNotFoundError):
        generate.with_code("{{ include results/other.md }}")


def test_the_api_has_the_public_modules(generate: ModuleType) -> None:
    page = generate.api_reference()
    for module in ("mulde.api", "mulde.engine.trainer", "kge_data.tripleset", "mulde.kge.scorers.roth"):
        assert f"::: {module}\n" in page
    assert "::: mulde.cli." not in page and "__main__" not in page


def test_formulas_become_mathml_and_code_stays(generate: ModuleType) -> None:
    pytest.importorskip("latex2mathml")
    text = generate.with_formulas("A $x_1$ here.\n\n$$\n\\frac{a}{b}\n$$\n\n```sh\necho $HOME $PATH\n```\nand `$y$`.")
    assert "echo $HOME $PATH" in text and "`$y$`" in text
    assert text.count("<math") == 2
    formula = text[text.index('<div class="formula">') : text.index("</div>") + 6]
    assert ElementTree.fromstring(formula.replace("&#", "#")).tag == "div"


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    for page in ("index.html", "reference/cli.html", "reference/api.html", "methods/mulde.html"):
        text = (tmp_path / page).read_text(encoding="utf-8")
        assert "{{" not in text and 'src="http' not in text
