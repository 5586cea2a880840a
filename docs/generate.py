"""Hook of MkDocs (see mkdocs.yml): fills the pages with what is written in the code already.

reference/cli.md     every verb of the command line with its options
reference/api.md     every public module with its docstrings, by mkdocstrings
{{ options MODULE }} on a line by itself: the fields of that module's `Config`, with the sentence below each
{{ include FILE }}   a file of the repository
{{ recorded FILE }}  the same; a sentence where the file does not exist yet
$$ ... $$, $ ... $   formulas, as MathML, which browsers draw without a script
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import itertools
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from mulde import cli
from mulde.config import default_of, options_of, texts_of

ROOT = Path(__file__).resolve().parent.parent
RUN = """<small>A test of the repository runs every command and program on this page, in this order, with trainings of
two epochs. Of commands on graphs that do not come with the package, it only checks the options.</small>"""
HIDDEN = {"mulde.__main__", "mulde.pykeen.__main__", "kge_data.__main__"}


def cli_reference() -> str:
    """A page with a section for each verb."""
    parts = [
        "# Command line",
        "`mulde VERB --help` shows the most important options, `mulde VERB --help-all` all of them. Every verb also "
        "takes `--config FILE`, a TOML or YAML file with values for its options.",
    ]
    for verb in cli.verbs():
        module = importlib.import_module(f"mulde.cli.{verb}")
        summary, _, rest = (module.__doc__ or "").partition("\n\n")
        parts += [f"## mulde {verb}", summary, _examples(rest), *_tables(_all_options(module))]
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


def _tables(config_type: type[Any]) -> Iterator[str]:
    """The options of a verb, a table for each group."""
    for title, options in itertools.groupby(options_of(config_type), lambda option: option.group):
        lines = [f"**{title}**", "", "| option | meaning |", "|---|---|"]
        for option in options:
            default = f" ({option.default_text})" if option.default_text else ""
            lines.append(f"| `{_cell(option.spelling)}` | {_cell(option.about + default)} |")
        yield "\n".join(lines)


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").replace("<", "&lt;").split())


def config_table(name: str) -> str:
    """The fields of the `Config` of a module as a table; a sentence where the module is not installed."""
    if importlib.util.find_spec(name) is None:
        return f"*`{name}` is not part of this installation.*"
    module = importlib.import_module(name)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == name
    ]
    tables = []
    for config in [value for value in found if value.__name__ == "Config"]:
        texts = {option.name: option.about for option in options_of(config)} | texts_of(config)
        rows = [
            f"| `{field.name}` | {_default(field)} | {_cell(texts.get(field.name))} |" for field in _own_fields(config)
        ]
        tables.append("\n".join(["| option | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(tables)


def _own_fields(config: type[Any]) -> Iterator[dataclasses.Field[Any]]:
    """The fields of a method's `Config`; a nested part is expanded, but for `model` and `training`, which all share."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(hints[field.name]) and field.name not in ("model", "training"):
            yield from _own_fields(typing.cast(Any, hints[field.name]))
        else:
            yield field


def _default(field: dataclasses.Field[Any]) -> str:
    value = default_of(field)
    if value is dataclasses.MISSING:
        return "required"
    if dataclasses.is_dataclass(value):
        changed = [
            f"{part.name}={getattr(value, part.name)!r}"
            for part in dataclasses.fields(value)
            if getattr(value, part.name) != default_of(part)
        ]
        return _cell(f"`{', '.join(changed)}`") if changed else "its defaults"
    return f"`{_cell(str(value))}`" if value not in ("", None, ()) else "–"


def api_reference() -> str:
    """A page with a section for each public module."""
    parts = [
        "# Python",
        "The names under `mulde` are those that `import mulde` offers; the modules that they come from follow.",
    ]
    for package in ("mulde", "kge_data"):
        for path in sorted((ROOT / package).rglob("*.py")):
            words = list(path.relative_to(ROOT).with_suffix("").parts)
            name = ".".join(words[:-1] if words[-1] == "__init__" else words)
            private = any(word.startswith("_") and word != "__init__" for word in words)
            if not private and name not in HIDDEN and not name.startswith("mulde.cli.") and _has_docstring(path):
                parts.append(f"## {name}\n\n::: {name}\n    options:\n      heading_level: 3")
    return "\n\n".join(parts) + "\n"


def _has_docstring(path: Path) -> bool:
    return bool(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))


def with_code(markdown: str) -> str:
    """Fill in the {{ ... }} lines of a page and write its formulas as MathML."""

    def filled(found: re.Match[str]) -> str:
        kind, what = found[1], found[2]
        if kind == "options":
            return config_table(what)
        if kind == "recorded" and not (ROOT / what).exists():
            return "*Not recorded yet.*"
        return (ROOT / what).read_text(encoding="utf-8").strip()

    page = with_formulas(re.sub(r"^\{\{ (options|include|recorded) (\S+) \}\}$", filled, markdown, flags=re.MULTILINE))
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

    for name, content in (("reference/cli.md", cli_reference()), ("reference/api.md", api_reference())):
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in one page; MkDocs calls this before it renders the page."""
    return markdown if page.file.src_uri.startswith("reference/") else with_code(markdown)
