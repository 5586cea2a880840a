"""Hook of MkDocs (see mkdocs.yml): makes the reference pages, and writes formulas as MathML.

reference/cli.md            every verb of the command line with its options
reference/images.md         the options of `mulde distil` with each method for images
reference/python/index.md   the functions of `mulde` with their options
reference/python/NAME.md    the public modules of one folder with their docstrings, by mkdocstrings
results/.../plot.png        pictures of the ablation studies, which the page gallery.md shows
$$ ... $$, $ ... $          formulas, as MathML, which browsers draw without a script

Tables and numbers in the pages are filled in by `benchmarks/harness/pages.py`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mulde
from mulde import catalogue, cli
from mulde.cli import _distil_images
from mulde.config import options_of
from mulde.config.options import Option

ROOT = Path(__file__).resolve().parent.parent
RUN = """<small>A test of the repository runs every command and program on this page, in this order, with trainings of
two epochs. Of commands on graphs that do not come with the package, it only checks the options.</small>"""
PYTHON = "reference/python"
PICTURES = ("results/vision/*/plot.png", "results/pictures/plot.png")
WITH_OPTIONS = ("run", "train", "distil")
FUNCTIONS = (*WITH_OPTIONS, "evaluate", "predict", "load")
HIDDEN = {"mulde.__main__", "mulde.pykeen.__main__", "kge_data.__main__"}


def cli_reference() -> str:
    """A page with a section for each verb."""
    parts = [
        "# Command line",
        "`mulde VERB --help` shows the most important options, `mulde VERB --help-all` all of them. Every verb also "
        "takes `--config FILE`, a TOML or YAML file with values for its options. The options of `mulde distil` with a "
        "method for images are on [a page of their own](images.md).",
    ]
    for verb in cli.verbs():
        module = importlib.import_module(f"mulde.cli.{verb}")
        summary, _, rest = (module.__doc__ or "").partition("\n\n")
        parts += [f"## mulde {verb}", summary, _examples(rest), *_tables(_all_options(module))]
    return "\n\n".join(parts) + "\n"


def images_reference() -> str:
    """A page with the options of `mulde distil` for images: those of all methods, then a section for each method."""
    shared = {option.name for option in options_of(_distil_images.Config)}
    parts = [
        "# Options of image methods",
        "`mulde distil --method NAME` and `mulde.vision.distil` take these options and those of the method. Defaults "
        "are those of `--preset recommended`.",
        *_tables(_distil_images.Config),
    ]
    verbs = catalogue.verbs_of_methods()
    for name in [path.stem for path in catalogue.shelf_files(catalogue.IMAGE_METHODS)]:
        if verbs[name] != "distil":  # a section of the command line
            continue
        page = catalogue.page_of(name).removeprefix("docs/")
        parts += [f"## {name}", f"[The method](../{page})"]
        parts += _tables(_distil_images.compose({"method": name}), without=shared)
    return "\n\n".join(parts) + "\n"


def _examples(text: str) -> str:
    """The paragraphs of a verb's docstring after the first, with the indented ones as code."""
    blocks = []
    for block in text.strip().split("\n\n"):
        head, _, body = block.partition("\n")
        if body.startswith("    "):
            blocks.append(f"{head}\n\n```text\n{_dedented(body)}\n```")
        elif block:
            blocks.append(block)
    return "\n\n".join(blocks)


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())


def _all_options(module: ModuleType) -> type[Any]:
    """The options of a verb; where a method adds its own, those of the default method."""
    return module.compose({}) if hasattr(module, "compose") else module.Config


def _tables(config_type: type[Any], without: Collection[str] = ()) -> Iterator[str]:
    """The options of a verb, but for some, a table for each group."""
    chosen = (option for option in options_of(config_type) if option.name not in without)
    for title, options in itertools.groupby(chosen, lambda option: option.group):
        lines = [f"**{title}**", "", "| option | meaning |", "|---|---|"]
        for option in options:
            lines.append(f"| `{_cell(option.spelling)}` | {_meaning(option)} |")
        yield "\n".join(lines)


def _meaning(option: Option) -> str:
    default = f" ({option.default_text})" if option.default_text else ""
    return _cell(option.about + default)


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").replace("<", "&lt;").split())


def python_reference() -> dict[str, str]:
    """Pages by path: the functions that people call, and a page for each folder of the code."""
    pages = {
        f"{PYTHON}/{package}.md": "\n\n".join([f"# {package}", *map(_section, modules)]) + "\n"
        for package, modules in _packages().items()
    }
    return {f"{PYTHON}/index.md": _functions(), **pages}


def _functions() -> str:
    """The functions of `mulde` with their options, then links to the other pages."""
    parts = ["# Python", "What `import mulde` offers. Pages on each folder of the code follow below."]
    for name in FUNCTIONS:
        parts += [
            f"## mulde.{name}",
            f"::: mulde.api.{name}\n    options:\n      heading_level: 3\n      show_root_heading: false",
            *_keywords(name),
        ]
    summaries = {package: _summary(package) for package in _packages()}
    links = "\n".join(f"| [{package}]({package}.md) | {_cell(text)} |" for package, text in summaries.items())
    return "\n\n".join([*parts, "## Modules", f"| folder | content |\n|---|---|\n{links}"]) + "\n"


def _keywords(name: str) -> Iterator[str]:
    """The options that a function takes as keywords, a table for each group; none where it takes no options."""
    if name not in WITH_OPTIONS:
        return
    taken = inspect.signature(getattr(mulde, name)).parameters
    every = options_of(_all_options(importlib.import_module(f"mulde.cli.{name}")))
    for title, options in itertools.groupby(every, lambda option: option.group):
        rows = [f"| `{option.name}` | {_meaning(option)} |" for option in options if option.name in taken]
        if rows:
            yield "\n".join([f"**{title}**", "", "| keyword | meaning |", "|---|---|", *rows])


def _packages() -> dict[str, list[str]]:
    """Folder of the code as a package name -> its public modules, in the order of their names."""
    found: dict[str, list[str]] = {}
    for top in ("mulde", "kge_data"):
        for path in sorted((ROOT / top).rglob("*.py")):
            words = list(path.relative_to(ROOT).with_suffix("").parts)
            name = ".".join(words[:-1] if words[-1] == "__init__" else words)
            private = any(word.startswith("_") and word != "__init__" for word in words)
            if not private and name not in HIDDEN and not name.startswith("mulde.cli.") and _docstring(path):
                found.setdefault(".".join(words[:-1]), []).append(name)
    return found


def _section(module: str) -> str:
    return f"## {module}\n\n::: {module}\n    options:\n      heading_level: 3"


def _summary(package: str) -> str:
    """First line of a package's docstring."""
    return _docstring(ROOT / package.replace(".", "/") / "__init__.py").partition("\n")[0]


def _docstring(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") if path.exists() else ""


def with_note(markdown: str) -> str:
    """A page with its formulas as MathML and, where it has commands, the note on how they are tested."""
    page = with_formulas(markdown)
    return f"{page.rstrip()}\n\n{RUN}\n" if re.search(r"^```(python|sh)$", markdown, re.MULTILINE) else page


def with_formulas(markdown: str) -> str:
    """Write $$ ... $$ on lines of their own and $ ... $ within a line as MathML; code stays as it is."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match[str]) -> str:
        code, block, line = found.groups()
        if code is not None:
            return code
        if block is not None:
            return f'<div class="formula">{convert(block.strip(), display="block")}</div>'
        return f"<span>{convert(line)}</span>"  # Markdown takes a line that begins with <math> for a block

    return re.sub(
        r"(```.*?```|`[^`\n]+`)|^\$\$\n(.*?)\n\$\$$|\$([^$\n]+)\$", drawn, markdown, flags=re.DOTALL | re.MULTILINE
    )


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages; MkDocs calls this with the list of pages."""
    from mkdocs.structure.files import File

    pages = {"reference/cli.md": cli_reference(), "reference/images.md": images_reference(), **python_reference()}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    for path in sorted(path for pattern in PICTURES for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Complete one page; MkDocs calls this before it renders the page."""
    if page.file.src_uri.startswith("reference/"):
        return markdown
    return with_note(markdown.replace("](../results/", "](results/"))
