"""Settings: a dataclass with a sentence under each field <-> a TOML or YAML file.

    @dataclass(frozen=True)
    class Config:
        dim: int = 32
        \"""Coordinates per entity.\"""

    write(Config(dim=8), "settings.yaml")
    config = from_dict(Config, read("settings.yaml"))

Fields may be bool, int, float, str, Path, Literal, one of these or None, a tuple of these, or another such dataclass.
The fields of a nested dataclass are read and written by their own names, as if they were fields of the outer one. The
same dataclass makes the options of a command: `mulde/config/command_line.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union

import yaml

from mulde.errors import UsageError, unknown
from mulde.files import write_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

Duration = Annotated[float, "duration"]
"""Type of a field in seconds; text such as 90s, 10m or 1.5h is read as well."""

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
    type(None): "empty",
}


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
    text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    write_atomically(Path(path), text.encode())


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """All values as what YAML and JSON can hold: lists, numbers, words and None; those of nested parts among them."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [plain(inner) for inner in value]
        return str(value) if isinstance(value, Path) else value

    return {name: plain(value) for name, value in flatten(config).items()}


def flatten(config: DataclassInstance) -> dict[str, Any]:
    """All values by name, those of nested dataclasses among them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        found |= (
            flatten(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else {field.name: value}
        )
    return found


def hints_of(config_type: type[Any]) -> dict[str, Any]:
    """Name -> type of every field, those of nested dataclasses among them.

    Two parts may share a name if its type is the same: then one value serves both. Raises TypeError otherwise.
    """
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(config_type, include_extras=True).items():
        if name not in {field.name for field in dataclasses.fields(config_type)}:
            continue
        for inner, kind in (
            hints_of(typing.cast(Any, hint)) if dataclasses.is_dataclass(hint) else {name: hint}
        ).items():
            if found.setdefault(inner, kind) != kind:
                raise TypeError(
                    f"{config_type.__name__}: two fields called {inner}, of types {found[inner]} and {kind}"
                )
    return found


def defaults_of(config_type: type[Any]) -> dict[str, Any]:
    """Name -> default of every field, those of nested dataclasses among them; MISSING where there is none."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        default = default_of(field)
        if not dataclasses.is_dataclass(hints[field.name]):
            found.setdefault(field.name, default)
            continue
        part = defaults_of(hints[field.name]) if default is dataclasses.MISSING else flatten(default)
        found = {**part, **found}
    return found


def from_dict(config_type: type[C], values: Mapping[str, Any], where: str = "settings") -> C:
    """The dataclass with these values and its own defaults for the rest; nested dataclasses take theirs by name.

    `where` begins every message. Raises UsageError for an unknown name (with the nearest), a value of another
    type, or a field that has no default and no value.
    """
    found = converted(config_type, values, where)
    for name, default in defaults_of(config_type).items():
        if name not in found and default is dataclasses.MISSING:
            raise UsageError(f"{where}: `{name}` has no default and no value; give one")
    return _composed(config_type, found, {})


def _composed(config_type: type[C], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> C:
    """The dataclass from values by name; ``defaults`` come before its own."""
    hints = typing.get_type_hints(config_type)
    arguments = {}
    for field in dataclasses.fields(config_type):
        name, hint, default = field.name, hints[field.name], default_of(field)
        if dataclasses.is_dataclass(hint):
            given = {} if default is dataclasses.MISSING else flatten(default)
            arguments[name] = _composed(typing.cast(Any, hint), values, {**given, **defaults})
        elif name in values:
            arguments[name] = values[name]
        elif name in defaults:
            arguments[name] = defaults[name]
    return config_type(**arguments)


def converted(config_type: type[C], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values as the types that the fields declare, under the fields' names."""
    hints = hints_of(config_type)
    given = {str(name).replace("-", "_"): value for name, value in values.items()}
    for name in given:
        if name not in hints:
            raise UsageError(f"{where}: {unknown('setting', name, hints, '--help')}")
    return {name: typed(value, hints[name], f"{where}: `{name}`") for name, value in given.items()}


def convert(config: DataclassInstance) -> None:
    """Bring every field of a dataclass to its declared type; for a `__post_init__`, so that Python is checked as well.

    Raises UsageError for a value of another type.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value = typed(getattr(config, field.name), hints[field.name], f"`{field.name}`")
        object.__setattr__(config, field.name, value)  # of a frozen one too


def default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def typed(value: Any, hint: Any, what: str) -> Any:
    """A value as the declared type. Raises UsageError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint == Duration and isinstance(value, str):
        if (seconds := _seconds(value)) is not None:
            return seconds
    elif origin is Annotated:
        return typed(value, arguments[0], what)
    elif origin in (Union, types.UnionType):
        for option in arguments:
            with contextlib.suppress(UsageError):
                return typed(value, option, what)
    elif origin is tuple and isinstance(value, tuple | list):
        return tuple(typed(item, arguments[0], f"{what}, entry {i}") for i, item in enumerate(value, 1))
    elif origin is Literal and value in arguments:
        return value
    elif hint is type(None) and value is None:
        return None
    elif dataclasses.is_dataclass(hint) and isinstance(value, typing.cast(type, hint)):
        return value
    elif hint is Path and isinstance(value, str | Path):
        return Path(value)
    elif hint is float and isinstance(value, Real | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # YAML reads 1e-3, which has no point, as a word
            return float(value)
    elif hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)  # numpy has integers of its own
    elif hint in (bool, str) and type(value) is hint:
        return value
    raise UsageError(f"{what} should be {_spelled(hint)}, got {value!r}")


def _seconds(duration: str) -> float | None:
    """A duration like 90s, 10m or 1.5h in seconds (a bare number counts seconds); None for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", duration.strip())
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else None


def _spelled(hint: Any) -> str:
    """A type in words."""
    if hint == Duration:
        return "a duration such as 90s, 10m or 2h"
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return f"one of {', '.join(map(str, arguments))}"
        case typing.Union | types.UnionType:
            return " or ".join(map(_spelled, arguments))
        case origin if origin is tuple:
            return f"a list (each entry {_spelled(arguments[0])})"
    return WORDS.get(hint, str(hint))
