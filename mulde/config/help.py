"""The help text of a command, in full or reduced to the most important options."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

from mulde.config.options import Option

COLUMN = 26  # where the texts beside the options begin
FIRST = 10  # options of the short text, where a command names none
CONFIG = ("--config FILE", "TOML or YAML file with values for these options.")
HELP = ("-h, --help, --help-all", "Show the most important options, or all of them.")


def usage(prog: str, options: Sequence[Option]) -> str:
    """The line that begins a help text: mulde train SCORER [OPTIONS]."""
    return " ".join(["usage:", prog, *(option.spelling for option in options if option.positional), "[OPTIONS]"])


def short_help(prog: str, description: str, options: Sequence[Option], first: Sequence[str]) -> str:
    """One screen: the summary, the options named in ``first`` with a sentence each, and the examples."""
    names = first or [option.name for option in options][:FIRST]
    by_name = {option.name: option for option in options}
    rows = [(by_name[name].spelling, _with_default(by_name[name], _sentence(by_name[name].about))) for name in names]
    rows.append(("--help-all", "Show all options in full, in groups."))
    paragraphs = description.strip().split("\n\n")
    examples = [part for part in paragraphs[1:] if part.startswith("Examples:")]
    return _joined([usage(prog, options), _filled(paragraphs[0]), _block("Options", rows), *examples])


def full_help(prog: str, description: str, options: Sequence[Option]) -> str:
    """Every option with its whole text, in groups."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in options:
        groups.setdefault(option.group, []).append((option.spelling, _with_default(option, option.about)))
    if groups:
        next(iter(groups.values())).extend([CONFIG, HELP])
    blocks = [_block(title, rows) for title, rows in groups.items()]
    return _joined([usage(prog, options), *map(_filled, description.strip().split("\n\n")), *blocks])


def _with_default(option: Option, about: str) -> str:
    return f"{about} ({option.default_text})" if option.default_text else about


def _sentence(text: str) -> str:
    """The first sentence of a text."""
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def _block(title: str, rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join([f"{title}:", *(line for row in rows for line in _lines(*row))])


def _lines(spelling: str, about: str) -> Iterator[str]:
    """An option and its text beside it; below it where the option is long."""
    texts = textwrap.wrap(about, max(_width() - COLUMN, 20)) or [""]
    head = f"  {spelling}"
    if len(head) + 2 > COLUMN:
        yield head
    else:
        yield (head.ljust(COLUMN) + texts.pop(0)).rstrip()
    yield from (" " * COLUMN + text for text in texts)


def _filled(paragraph: str) -> str:
    """Prose wrapped to the terminal; examples, which are indented, as they are."""
    return paragraph if "\n " in paragraph else textwrap.fill(paragraph, _width())


def _width() -> int:
    return shutil.get_terminal_size().columns - 2
