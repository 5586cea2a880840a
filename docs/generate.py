"""Hook of MkDocs (see mkdocs.yml): what these pages take from the code instead of having it typed by hand.

reference/cli.md     every verb of the command line with its options
reference/api.md     every public module with its docstrings, by mkdocstrings
{{ options MODULE }} on a line by itself: the fields of that module's `Config` classes, with the sentence below each
{{ include FILE }}   a file of the repository, as the program wrote it
$$ ... $$, $ ... $   formulas, as MathML, which browsers draw without a script
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mulde import cli
from mulde.config import command_line as options
from mulde.config import default_of

ROOT = Path(__file__).resolve().parent.parent
RUN = """<small>Every command and program on this page is run by a test of the repository, in this order, with
trainings cut to two epochs. Commands on graphs that do not come with the package are only checked for their
options.</small>"""
HIDDEN = {"mulde.__main__", "mulde.pykeen.__main__", "kge_data.__main__"}


def cli_reference() -> str:
    """A page with a section for each verb."""
    parts = ["# Command line", "`mulde VERB --help` shows the same in the terminal."]
    for verb in cli._verbs():
        module = importlib.import_module(f"mulde.cli.{verb}")
        summary, _, rest = (module.__doc__ or "").partition("\n\n")
        parts += [f"## mulde {verb}", summary, _examples(rest), *_tables(module.Config, f"mulde {verb}")]
    return "\n\n".join(parts) + "\n"


def _examples(text: str) -> str:
    """The rest of a verb's docstring, its examples as code."""
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


def _tables(config_type: type[Any], prog: str) -> Iterator[str]:
    """The options of a verb as its own parser has them, a table for each group."""
    parser = options._parser(config_type, prog, "", {})
    for group in parser._action_groups:
        rows = [action for action in group._group_actions if action.help not in (None, "==SUPPRESS==")]
        if rows:
            lines = [f"**{group.title}**", "", "| option | meaning |", "|---|---|"]
            lines += [f"| `{_spelling(action)}` | {_cell(action.help)} |" for action in rows]
            yield "\n".join(lines)


def _spelling(action: Any) -> str:
    if not action.option_strings:
        return str(action.metavar)
    name = action.option_strings[-1] if action.option_strings[0] == "-h" else action.option_strings[0]
    if action.nargs == 0:
        return name.replace("--", "--[no-]", 1) if len(action.option_strings) > 1 and name != "--help" else name
    return f"{name} {action.metavar}".replace("|", "\\|")


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("%%", "%").replace("|", "\\|").replace("<", "&lt;").split())


def options_of(name: str) -> str:
    """The fields of the `...Config` classes of a module as a table; a sentence where the module is not installed."""
    if importlib.util.find_spec(name) is None:
        return f"*`{name}` is not part of this installation.*"
    module = importlib.import_module(name)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == name
    ]
    tables = []
    for config in [value for value in found if value.__name__.endswith("Config")]:
        sentences = options._sentences(config)
        rows = [
            f"| `{field.name}` | {_default(field)} | {_cell(sentences.get(field.name))} |"
            for field in dataclasses.fields(config)
        ]
        tables.append("\n".join(["| option | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(tables)


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
    """A page with its {{ ... }} lines filled in and its formulas as MathML."""

    def filled(found: re.Match[str]) -> str:
        kind, what = found[1], found[2]
        if kind == "options":
            return options_of(what)
        if kind == "recorded" and not (ROOT / what).exists():
            return "*Not recorded yet.*"
        return (ROOT / what).read_text(encoding="utf-8").strip()

    page = with_formulas(re.sub(r"^\{\{ (options|include|recorded) (\S+) \}\}$", filled, markdown, flags=re.MULTILINE))
    return f"{page.rstrip()}\n\n{RUN}\n" if re.search(r"^```(python|sh)$", markdown, re.MULTILINE) else page


def with_formulas(markdown: str) -> str:
    """$$ ... $$ on lines of their own and $ ... $ within a line as MathML; code is left alone."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match[str]) -> str:
        code, block, line = found.groups()
        if code is not None:
            return code
        if block is not None:
            return f'<div class="formula">{convert(block.strip(), display="block")}</div>'
        return f"<span>{convert(line)}</span>"  # a line that began with <math> would be a paragraph of its own

    return re.sub(
        r"(```.*?```|`[^`\n]+`)|^\$\$\n(.*?)\n\$\$$|\$([^$\n]+)\$", drawn, markdown, flags=re.DOTALL | re.MULTILINE
    )


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks which pages there are: adds the generated ones."""
    from mkdocs.structure.files import File

    for name, content in (("reference/cli.md", cli_reference()), ("reference/api.md", api_reference())):
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs shows a page before it is rendered."""
    return markdown if page.file.src_uri.startswith("reference/") else with_code(markdown)
