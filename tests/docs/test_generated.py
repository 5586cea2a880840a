"""Pages filled from the code: options, modules, formulas."""

from __future__ import annotations

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

from mulde import catalogue, cli
from mulde.config import options_of
from mulde.kge.methods.mulde import Config

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


def test_image_methods_have_their_options(generate: ModuleType) -> None:
    shared, *methods = generate.images_reference().split("\n## ")
    assert "| `--skip-broken` |" in shared and "| `--epochs N` |" not in shared
    found = dict(method.split("\n", 1) for method in methods)
    verbs = catalogue.verbs_of_methods()
    images = {path.stem for path in catalogue.shelf_files(catalogue.IMAGE_METHODS)}
    assert found.keys() == {name for name in images if verbs[name] == "distil"}
    assert "| `--soft {kd,dkd," in found["kd"] and "| `--skip-broken` |" not in found["kd"]
    assert all("| `--epochs N` |" in text or "| `--rounds N` |" in text for text in found.values())


def test_the_functions_come_first_with_their_options(generate: ModuleType) -> None:
    page = generate.python_reference()["reference/python/index.md"]
    names = [line.removeprefix("## mulde.") for line in page.splitlines() if line.startswith("## mulde.")]
    assert names == ["run", "train", "distil", "evaluate", "predict", "load"]
    train = page.partition("## mulde.train")[2].partition("## mulde.distil")[0]
    assert "| `batch_size` |" in train and "| `soft_weight` |" not in train
    assert "| `soft_weight` |" in page and "(kge_data.formats.md)" in page


def test_the_reference_has_a_page_for_each_folder(generate: ModuleType) -> None:
    pages = generate.python_reference()
    for module in ("mulde.api", "mulde.engine.trainer", "kge_data.tripleset", "mulde.kge.scorers.roth"):
        assert f"::: {module}\n" in pages[f"reference/python/{module.rpartition('.')[0]}.md"]
    assert not any("::: mulde.cli." in page or "__main__" in page for page in pages.values())


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
    for page in (
        "index.html",
        "reference/cli.html",
        "reference/python/index.html",
        "reference/python/mulde.kge.html",
        "methods/mulde.html",
    ):
        text = (tmp_path / page).read_text(encoding="utf-8")
        assert "{{" not in text and 'src="http' not in text
    picture = "results/vision/kd/plot.png"
    assert (tmp_path / picture).exists() and f'src="{picture}"' in (tmp_path / "gallery.html").read_text(
        encoding="utf-8"
    )
