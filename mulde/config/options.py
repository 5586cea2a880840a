"""The options that a dataclass makes: one for each field, with the sentence under the field."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from mulde.config.fields import defaults_of, groups_of, hints_of
from mulde.config.values import alternatives


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    name: str
    """Name of the field."""
    about: str
    """The text under the field, in one line."""
    default: Any
    """Default value; `dataclasses.MISSING` where a value is required."""
    group: str
    """First line of the docstring of the dataclass that declares the field."""
    hint: Any
    """Type of the field."""

    @property
    def flag(self) -> str:
        """The option as a word: --batch-size."""
        return f"--{self.name.replace('_', '-')}"

    @cached_property
    def positional(self) -> bool:
        """Whether the value may be given by its place."""
        return "positional" in getattr(self.hint, "__metadata__", ())

    @cached_property
    def kind(self) -> Any:
        """Type of a value: that of one word where the option repeats."""
        hint = typing.get_args(self.hint)[0] if self.positional else self.hint
        return typing.get_args(hint)[0] if self.repeats else hint

    @cached_property
    def repeats(self) -> bool:
        """Whether the option may be given several times, for a tuple."""
        hint = typing.get_args(self.hint)[0] if self.positional else self.hint
        return typing.get_origin(hint) is tuple

    @cached_property
    def listed(self) -> bool:
        """Whether several values may be given as one word: 8,16,32."""
        return self.repeats and not self.positional and alternatives(self.kind)[0] in (int, float)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that gives the option: --resume and --no-resume for a switch."""
        return (self.flag, f"--no-{self.flag[2:]}") if self.hint is bool else (self.flag,)

    @property
    def metavar(self) -> str:
        """What stands for the value in help: N, PATH, {cpu,cuda}, SCORER."""
        if self.positional:
            return self.name.upper()
        if typing.get_origin(self.kind) is Literal:
            return f"{{{','.join(map(str, typing.get_args(self.kind)))}}}"
        if self.listed:
            return "N,N,..."
        first = alternatives(self.kind)[0]
        if typing.get_origin(first) is Annotated:
            return "TIME"
        return {int: "N", float: "X", Path: "PATH"}.get(first, self.name.rpartition("_")[2].upper())

    @property
    def spelling(self) -> str:
        """The option as help shows it: --dim N, --[no-]resume, SCORER."""
        if self.positional:
            return f"{self.metavar} [{self.metavar} ...]" if self.repeats else self.metavar
        if self.hint is bool:
            return self.flag if self.default is False else self.flag.replace("--", "--[no-]", 1)
        return f"{self.flag} {self.metavar}"

    @property
    def default_text(self) -> str:
        """The default as text: "required", "default: 32", or empty where there is nothing to show."""
        value = self.default
        if value is dataclasses.MISSING:
            return "required"
        if value is None or value is False or value in ("", (), []):
            return ""
        if value is True:
            return "default: yes"
        return f"default: {', '.join(map(str, value)) if isinstance(value, tuple | list) else value}"


def options_of(config_type: type[Any]) -> list[Option]:
    """The options of a dataclass: its own, those of its bases, and those of its parts, group by group."""
    hints, defaults, found = hints_of(config_type), defaults_of(config_type), dict[str, Option]()
    for home, leaves in groups_of(config_type):
        about, part = texts_of(home), leaves[0].prefix.rstrip("_")  # type: ignore[arg-type]  # classes are hashable
        group = f"{_title(home)} ({part})" if part else _title(home)
        for leaf in leaves:
            text = about.get(leaf.path[-1], "")
            found.setdefault(leaf.name, Option(leaf.name, text, defaults[leaf.name], group, hints[leaf.name]))
    return list(found.values())


def _title(home: type[Any]) -> str:
    """First line of a dataclass's docstring, without its full stop."""
    text = home.__doc__ or ""
    own = "" if text.startswith(f"{home.__name__}(") else text  # dataclasses writes the signature where there is none
    return own.split("\n")[0].rstrip(".") or "Options"


@cache
def texts_of(home: type[Any]) -> dict[str, str]:
    """Field -> the text under it in the source of a class; empty where there is no source."""
    if home.__module__ == "types":  # made by `extended`
        return {}
    try:
        source = inspect.getsource(home)
    except (OSError, TypeError):  # made at a prompt
        return {}
    body = cast(ast.ClassDef, ast.parse(textwrap.dedent(source)).body[0]).body
    found: dict[str, str] = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            found[ast.unparse(field.target)] = " ".join(ast.literal_eval(below.value).split())
    return found
