"""A dataclass with a sentence under each field -> command-line options.

    @dataclass(frozen=True)
    class Config:
        scorer: Positional[str]
        \"""Which scoring function.\"""
        dim: int = 32
        \"""Coordinates per entity.\"""

    config = parse(Config, argv, prog="mulde train", description="Train a teacher.")

Types as in `mulde/config/settings.py`; a tuple is an option that repeats: `--teacher a --teacher b`. In the help text
the options stand in groups, one for each class that the dataclass inherits from, under the first line of that
class's docstring.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, Union

from mulde.config.settings import Duration, converted, defaults_of, from_dict, hints_of, read, typed
from mulde.errors import UsageError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
T = TypeVar("T")

Positional = Annotated[T, "positional"]
"""Type of a field that is given by its place: Positional[str]; at most one, which takes
several words where it is a tuple. `--name` is accepted as well."""

Presets = Callable[[Mapping[str, Any], frozenset[str]], Mapping[str, Any]]
"""Chosen preset and data, names of all options -> defaults of those that the preset decides."""


def parse(config_type: type[C], argv: Sequence[str], prog: str, description: str, presets: Presets | None = None) -> C:
    """The dataclass filled from command-line words and from `--config FILE`.

    Explicit options override the file, the file overrides `presets`, which is asked with the values of
    --preset and --data; a repeated option replaces the list of file or preset. Ends the process with code 0
    after `--help`.

    Raises
    ------
    UsageError
        For an unknown option (with the nearest), an impossible or missing value, or a bad file.
    """
    finder = _Parser(prog=prog, add_help=False, allow_abbrev=False)
    for name in ("config", "preset", "data"):
        finder.add_argument(f"--{name}", default=argparse.SUPPRESS)
    chosen = vars(finder.parse_known_args(argv)[0])
    file = chosen.pop("config", None)
    values = converted(config_type, read(file), file) if file else {}
    if presets is not None:
        names = frozenset(hints_of(config_type))
        values = {**presets({**values, **chosen}, names), **values}

    parser = _parser(config_type, prog, description, values)
    explicit, left = parser.parse_known_args(argv)
    for word in left:
        if word.startswith("-"):
            known = [name for name in parser._option_string_actions if name.startswith("--")]
            raise unknown("option", word.partition("=")[0], known, f"{prog} --help")
        raise UsageError(
            f'{prog}: "{word}" is one word too many; options begin with --, and `{prog} --help` lists them'
        )
    for name, value in vars(explicit).items():
        if name.startswith("="):  # the word in its place, None where there is none
            values |= {} if value in (None, []) else {name[1:]: value}
        elif name != "config":
            values[name] = value
    for name, default in defaults_of(config_type).items():
        if name not in values and default is dataclasses.MISSING:
            raise UsageError(f"{prog} needs {parser.shown[name]}: {parser.about[name]} See `{prog} --help`.")
    return from_dict(config_type, values, prog)


class _Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and end the process."""

    shown: dict[str, str]  # field -> how the option is spelled
    about: dict[str, str]  # field -> the sentence under it

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message.removeprefix('argument ')}")


class _Help(argparse.HelpFormatter):
    """Wraps prose to the terminal, leaves indented examples alone, and writes switches as --[no-]name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(part if "\n " in part else textwrap.fill(part, width) for part in paragraphs)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return action.option_strings[0].replace("--", "--[no-]", 1)
        return super()._format_action_invocation(action)


def _parser(config_type: type[Any], prog: str, description: str, values: Mapping[str, Any]) -> _Parser:
    """A parser whose result holds explicit options only; a word in its place is called "=field" there."""
    parser = _Parser(
        prog=prog, description=description, add_help=False, allow_abbrev=False, formatter_class=_Help,
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    parser.about, parser.shown = _sentences(config_type), {}
    hints, defaults = hints_of(config_type), defaults_of(config_type)
    for home in _homes(config_type):
        group = parser.add_argument_group((home.__doc__ or "options").split("\n")[0].rstrip("."))
        own = [name for name in home.__annotations__ if name in hints and name not in parser.shown]
        for name in own:
            about = parser.about[name] + _shown_default(values.get(name, defaults[name]))
            parser.shown[name] = _add(group, name, hints[name], about.replace("%", "%%"))
        if home is config_type:
            about = "TOML or YAML file with values for these options."
            group.add_argument("--config", metavar="FILE", help=about)
            group.add_argument("-h", "--help", action="help", help="Show this text.")
    by_place = [shown for shown in parser.shown.values() if not shown.startswith("--")]
    parser.usage = " ".join([prog, *by_place, "[OPTIONS]"])
    return parser


def _add(group: argparse._ArgumentGroup, name: str, hint: Any, about: str) -> str:
    """Add the option of one field; returns how it is spelled."""
    option = f"--{name.replace('_', '-')}"
    if getattr(hint, "__metadata__", ()) == ("positional",):
        inner, place = typing.get_args(hint)[0], name.upper()
        if typing.get_origin(inner) is tuple:
            read_word = _reader(typing.get_args(inner)[0])
            group.add_argument(f"={name}", nargs="*", default=None, metavar=place, type=read_word, help=about)
            group.add_argument(option, action="append", type=read_word, help=argparse.SUPPRESS)
            return f"{place} [{place} ...]"
        read_word = _reader(inner)
        group.add_argument(f"={name}", nargs="?", default=None, metavar=place, type=read_word, help=about)
        group.add_argument(option, type=read_word, help=argparse.SUPPRESS)
        return place
    if hint is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, help=about)
        return option
    repeats = typing.get_origin(hint) is tuple
    inner = typing.get_args(hint)[0] if repeats else hint
    action = "append" if repeats else "store"
    group.add_argument(option, action=action, type=_reader(inner), metavar=_metavar(name, inner), help=about)
    return option


def _reader(hint: Any) -> Callable[[str], Any]:
    """Command-line word -> value; None is written "none" where a number or path may be left out."""
    kinds = _alternatives(hint)

    def value(word: str) -> Any:
        if type(None) in kinds and str not in kinds and word.lower() == "none":
            return None
        number: Any = word
        if int in kinds:
            with contextlib.suppress(ValueError):
                number = int(word)
        try:
            return typed(number, hint, "")
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error).strip()) from error

    return value


def _metavar(name: str, hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return f"{{{','.join(map(str, typing.get_args(hint)))}}}"
    return {int: "N", float: "X", Path: "PATH", Duration: "TIME"}.get(_alternatives(hint)[0], name.rpartition("_")[2].upper())


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """int | None -> (int, None's type); any other type alone."""
    union = typing.get_origin(hint) in (Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _shown_default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return " (required)"
    if value in (None, "", (), []):
        return ""
    if isinstance(value, bool):
        return f" (default: {'yes' if value else 'no'})"
    return f" (default: {', '.join(map(str, value)) if isinstance(value, tuple | list) else value})"


def _homes(config_type: type[Any]) -> list[type[Any]]:
    """The dataclasses whose fields are options: the class, those it inherits from, and those of nested fields."""
    found = [home for home in config_type.__mro__ if dataclasses.is_dataclass(home)]
    for hint in typing.get_type_hints(config_type).values():
        if dataclasses.is_dataclass(hint):
            found += [home for home in _homes(typing.cast(Any, hint)) if home not in found]
    return found


def _sentences(config_type: type[Any]) -> dict[str, str]:
    """Field -> the sentence under it, from the source of every class that `_homes` finds."""
    found: dict[str, str] = {}
    for home in reversed(_homes(config_type)):
        if all(dataclasses.is_dataclass(kind) for kind in home.__annotations__.values()):  # composed by make_dataclass
            continue
        body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(home))).body[0]).body
        for field, below in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                name, text = ast.unparse(field.target), ast.literal_eval(below.value)
                found[name] = " ".join(text.split())
    return found
