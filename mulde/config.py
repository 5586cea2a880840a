"""A dataclass with a sentence under each field -> command-line options, a settings file, and back.

    @dataclass(frozen=True)
    class Config:
        scorer: Positional[str]
        \"""Which scoring function.\"""
        dim: int = 32
        \"""Coordinates per entity.\"""

    config = parse(Config, argv, prog="mulde train", description="Train a teacher.")

Fields may be bool, int, float, str, Path, Literal, a union with None, a tuple, list or dict of these, or such
a dataclass. A tuple or list is an option that repeats: `--teacher a --teacher b`.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import dataclasses
import os
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union

import tyro
import yaml
from tyro.conf import Positional  # a field of type Positional[str] is given by its place, not by --name

from mulde.errors import UsageError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Positional", "Presets", "from_dict", "parse", "read", "to_dict", "write"]

C = TypeVar("C", bound="DataclassInstance")

# Help is read in terminals, files and CI logs alike: no boxes, no colours.
tyro._experimental_options["utf8_boxes"] = False
tyro._experimental_options["ansi_codes"] = False

Presets = Callable[[Mapping[str, Any], frozenset[str]], Mapping[str, Any]]
"""Chosen preset and data, names of all options -> defaults of those that the preset decides."""


def parse(
    config_type: type[C],
    argv: Sequence[str] | None,
    prog: str,
    description: str,
    presets: Presets | None = None,
) -> C:
    """The dataclass filled from command-line words (`None`: those of the process) and from `--config FILE`.

    Explicit options override the file, the file overrides `presets`, which is asked with the values of
    --preset and --data; a repeated option replaces the list of file or preset. Ends the process with code 0
    for `--help` and 2 for an unknown option or an impossible value, after printing why. Raises UsageError for
    a bad file.
    """
    finder = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    for name in ("config", "preset", "data"):
        finder.add_argument(f"--{name}")
    given = vars(finder.parse_known_args(argv)[0])
    file = given.pop("config")
    values = read(file) if file else {}
    if presets is not None:
        chosen = values | {name: value for name, value in given.items() if value is not None}
        names = frozenset(field.name for field in dataclasses.fields(config_type))
        explicit = {name.replace("-", "_"): value for name, value in values.items()}
        values = {**presets(chosen, names), **explicit}
    defaults = _filled(config_type, values, where=file or prog)

    # Parsed as a subclass with one field more, so that --config stands among the options of the help text. It
    # checks nothing: the real class does, when the file's lists are back.
    help_text = "TOML or YAML file with values for these options; explicit options override it."
    option = Annotated[Path | None, tyro.conf.arg(help=help_text, metavar="FILE")]
    extended = dataclasses.make_dataclass(
        config_type.__name__,
        [("config", option, dataclasses.field(default=None, kw_only=True))],
        bases=(config_type,),
        namespace={"__post_init__": lambda self: None},
        frozen=config_type.__dataclass_params__.frozen,  # type: ignore[attr-defined]
    )
    start: Any = _unchecked(extended, {**vars(_without_lists(defaults)), "config": None})
    parsed: C = tyro.cli(
        extended,
        args=argv,
        default=start,
        prog=prog,
        description=description,
        config=(tyro.conf.UseAppendAction, tyro.conf.PositionalMetavarFromFieldName),
    )
    return _checked(config_type, parsed, defaults, prog)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in a TOML or YAML file, by its ending. Raises UsageError when there are none."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a settings file, but it cannot be read ({error})") from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise UsageError(f"{path}: expected {kind}, but {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        came = type(content).__name__
        raise UsageError(f"{path}: expected lines `name: value`, got {came}; --help shows the names")
    return content


def write(config: DataclassInstance, path: str | os.PathLike[str]) -> None:
    """Write all values as YAML, at once or not at all.

    The file can be given as `--config`, or taken back with `from_dict(config_type, read(path))`.
    """
    path = Path(path)
    text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """All values as what YAML and JSON can hold: dictionaries, lists, numbers, words and None."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(inner) for name, inner in value.items()}
        if isinstance(value, tuple | list):
            return [plain(inner) for inner in value]
        return str(value) if isinstance(value, Path) else value

    result: dict[str, Any] = plain(dataclasses.asdict(config))
    return result


def from_dict(config_type: type[C], values: Mapping[str, Any], where: str = "settings") -> C:
    """The dataclass with these values and its own defaults for the rest.

    `where` begins every message. Raises UsageError for an unknown name (with the nearest), a value of another
    type, or a field that has no default and no value.
    """
    filled = _filled(config_type, values, where)
    return _checked(config_type, filled, filled, where)


def _filled(config_type: type[C], values: Mapping[str, Any], where: str, base: C | None = None) -> C:
    """An unchecked instance: given values, else those of `base`, else the class's, else MISSING."""
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    given = {str(name).replace("-", "_"): value for name, value in values.items()}
    for name in given:
        if name not in fields:
            raise UsageError(f"{where}: {unknown('setting', name, fields, '--help')}")
    hints = typing.get_type_hints(config_type)
    result: dict[str, Any] = {}
    for name, field in fields.items():
        default = _default(field) if base is None else getattr(base, name)
        if dataclasses.is_dataclass(hints[name]):
            group = given.get(name, {})
            if not isinstance(group, Mapping):
                raise UsageError(f"{where}: `{name}` should be a group of settings, got {group!r}")
            inner = None if default is tyro.MISSING else default
            result[name] = _filled(typing.cast(Any, hints[name]), group, f"{where}, {name}", inner)
        else:
            result[name] = (
                _converted(given[name], hints[name], f"{where}: `{name}`") if name in given else default
            )
    return _unchecked(config_type, result)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return tyro.MISSING if field.default is dataclasses.MISSING else field.default


def _unchecked(config_type: type[C], values: Mapping[str, Any]) -> C:
    """An instance made without `__init__`, because values may still be missing."""
    instance = object.__new__(config_type)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    return instance


def _without_lists(config: C) -> C:
    """A copy with empty lists, to which the parser appends what is explicit."""
    values = dict(vars(config))
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            values[name] = _without_lists(typing.cast(Any, value))
        elif isinstance(value, tuple | list):
            values[name] = type(value)()
    return _unchecked(type(config), values)


def _checked(config_type: type[C], config: C, defaults: C, where: str) -> C:
    """The real thing, from `config` and, for lists that nobody touched, from `defaults`."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config_type):
        value, default = getattr(config, field.name), getattr(defaults, field.name)
        if value is tyro.MISSING:
            raise UsageError(f"{where}: `{field.name}` has no default and no value; give one")
        if dataclasses.is_dataclass(value):
            value = _checked(typing.cast(Any, type(value)), value, default, f"{where}, {field.name}")
        values[field.name] = default if value in ((), []) else value
    return config_type(**values)


def _converted(value: Any, hint: Any, where: str) -> Any:
    """A value from a file as the type that the field declares. Raises UsageError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        for option in arguments:
            with contextlib.suppress(UsageError):
                return _converted(value, option, where)
    elif origin in (tuple, list) and isinstance(value, list):
        return origin(
            _converted(item, arguments[0], f"{where}, entry {i}") for i, item in enumerate(value, 1)
        )
    elif origin is dict and isinstance(value, dict):
        return {name: _converted(item, arguments[1], f"{where}, {name}") for name, item in value.items()}
    elif origin is Literal and value in arguments:
        return value
    elif hint is type(None) and value is None:
        return None
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # YAML reads 1e-3, which has no point, as a word
            return float(value)
    elif hint in (bool, int, str) and type(value) is hint:
        return value
    raise UsageError(f"{where} should be {_spelled(hint)}, got {value!r}")


def _spelled(hint: Any) -> str:
    """A type in words."""
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return f"one of {', '.join(map(str, arguments))}"
        case typing.Union | types.UnionType:
            return " or ".join(map(_spelled, arguments))
        case builtins.tuple | builtins.list:
            return f"a list (each entry {_spelled(arguments[0])})"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", Path: "a path"}
    return "empty" if hint is type(None) else words.get(hint, str(hint))
