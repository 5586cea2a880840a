"""A dataclass with a sentence under each field -> command-line options.

    @dataclass(frozen=True)
    class Config:
        scorer: Positional[str]
        \"""Scoring function.\"""
        dim: int = 32
        \"""Coordinates per entity.\"""

    config = parse(Config, argv, prog="mulde train", description="Train a teacher.")

Types as in `mulde/config/values.py`; a tuple is an option that repeats: `--teacher a --teacher b`; numbers
may also be written as one word: `--dims 8,16`. `--help` shows the
options that matter first, `--help-all` all of them in groups: one for each dataclass that declares fields, under the
first line of its docstring.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from mulde.config.help import full_help, short_help
from mulde.config.options import Option, options_of
from mulde.config.settings import converted, from_dict, read
from mulde.config.values import Positional, alternatives, typed
from mulde.errors import UsageError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Positional", "parse", "parse_given", "peek"]

C = TypeVar("C", bound="DataclassInstance")

Presets = Callable[[Mapping[str, Any], frozenset[str]], Mapping[str, Any]]
"""Chosen preset and data, names of all options -> defaults of the options that the preset decides."""


def parse(
    config_type: type[C],
    argv: Sequence[str],
    prog: str,
    description: str,
    presets: Presets | None = None,
    first: Sequence[str] = (),
    compose: Callable[[Mapping[str, Any]], type[C]] | None = None,
) -> C:
    """Make the dataclass from command-line words and from `--config FILE`.

    Explicit options override the file, and the file overrides ``presets``. A repeated option replaces the list of the
    file or preset. Ends the process with code 0 after `--help` or `--help-all`.

    Parameters
    ----------
    config_type
        A dataclass; its fields and those of its parts are the options.
    argv
        The words after the verb.
    prog
        The command, for messages and help.
    description
        Docstring of the verb: a summary, then paragraphs, the one with examples beginning with "Examples:".
    presets
        Defaults that depend on the values of `--preset` and `--data`.
    first
        Fields that `--help` shows, at most ten; by default the first ten.
    compose
        Makes the dataclass from the values that are known so far, where an option decides about others. It is not
        called for `--help`. A positional value comes before the options that it adds.

    Raises
    ------
    UsageError
        For an unknown option (with the nearest), an impossible or missing value, or a bad file.
    """
    return parse_given(config_type, argv, prog, description, presets, first, compose)[0]


def parse_given(
    config_type: type[C],
    argv: Sequence[str],
    prog: str,
    description: str,
    presets: Presets | None = None,
    first: Sequence[str] = (),
    compose: Callable[[Mapping[str, Any]], type[C]] | None = None,
) -> tuple[C, frozenset[str]]:
    """The dataclass of `parse`, and the names of the options that are given, by words or by the file."""
    options = options_of(config_type)
    values, left = _explicit(options, argv, prog)
    screen, file = values.pop("=help", None), values.pop("=config", None)
    content = read(file) if file else {}
    if compose is not None and screen != "short":
        config_type = compose({**content, **values})
        options = options_of(config_type)
        values, left = _explicit(options, argv, prog)
        values = {name: value for name, value in values.items() if not name.startswith("=")}
    if compose is None or screen != "short":
        content = converted(config_type, content, file)
    given = frozenset({*content, *values})
    if presets is not None:
        chosen = {name: value for name, value in values.items() if name in ("preset", "data")}
        content = {**presets({**content, **chosen}, frozenset(option.name for option in options)), **content}
    if screen:
        known = [dataclasses.replace(each, default=content.get(each.name, each.default)) for each in options]
        short = screen == "short"
        text = short_help(prog, description, known, first) if short else full_help(prog, description, known)
        sys.stdout.write(f"{text}\n")
        raise SystemExit(0)
    _refuse(left, options, prog)
    values = {**content, **values}
    for option in options:
        if option.name not in values and option.default is dataclasses.MISSING:
            raise UsageError(f"{prog} needs {option.spelling}: {option.about} See `{prog} --help`.")
    return from_dict(config_type, values, prog), given


def peek(config_type: type[Any], argv: Sequence[str], prog: str) -> dict[str, Any]:
    """Values of the options of a dataclass among the words, or in the `--config` file; all others are ignored.

    For a command whose options depend on one of them.
    """
    options = options_of(config_type)
    values, _ = _explicit(options, argv, prog)
    values.pop("=help", None)
    file = values.pop("=config", None)
    content = read(file) if file else {}
    names = {option.name for option in options}
    return converted(config_type, {**{name: value for name, value in content.items() if name in names}, **values}, prog)


class _Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing the usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message.removeprefix('argument ')}")


def _explicit(options: Sequence[Option], argv: Sequence[str], prog: str) -> tuple[dict[str, Any], list[str]]:
    """Values that are given, by name ("=help" and "=config" for those options), and the words left over."""
    parser = _Parser(
        prog=prog,
        add_help=False,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=partial(argparse.HelpFormatter, width=80),  # otherwise each option asks for the terminal's size
    )
    parser.add_argument("-h", "--help", dest="=help", action="store_const", const="short")
    parser.add_argument("--help-all", dest="=help", action="store_const", const="all")
    parser.add_argument("--config", dest="=config", metavar="FILE")
    for option in options:
        if option.hint is bool:
            parser.add_argument(option.flag, action=argparse.BooleanOptionalAction)
            continue
        read_word = _list_reader(option.kind) if option.listed else _reader(option.kind)
        if option.positional:
            count = "*" if option.repeats else "?"
            parser.add_argument(f"={option.name}", nargs=count, default=None, metavar=option.metavar, type=read_word)
        action = "extend" if option.listed else "append" if option.repeats else "store"
        parser.add_argument(option.flag, action=action, type=read_word, metavar=option.metavar)
    given, left = parser.parse_known_args(argv)
    places = {f"={option.name}" for option in options if option.positional}
    values = {name: value for name, value in vars(given).items() if name not in places}
    by_place = {name[1:]: value for name, value in vars(given).items() if name in places and value not in (None, [])}
    return {**values, **by_place}, left


def _list_reader(hint: Any) -> Callable[[str], list[Any]]:
    """Command-line word such as 8,16,32 -> values."""
    read_word = _reader(hint)
    return lambda words: [read_word(word) for word in words.split(",")]


def _refuse(words: Sequence[str], options: Sequence[Option], prog: str) -> None:
    """Raises UsageError where words are left over."""
    for word in words:
        if word.startswith("-"):
            known = ["--config", "--help", "--help-all"]
            known += [each for option in options for each in option.words if each == option.flag or word[:5] == "--no-"]
            raise unknown("option", word.partition("=")[0], known, f"{prog} --help-all")
        raise UsageError(f'{prog}: unexpected word "{word}"; options begin with --, see `{prog} --help`')


def _reader(hint: Any) -> Callable[[str], Any]:
    """Command-line word -> value; "none" stands for None where the type has None and no words."""
    kinds = alternatives(hint)

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
