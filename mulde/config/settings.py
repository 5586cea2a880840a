"""Settings: a dataclass with a sentence under each field <-> a TOML or YAML file.

    @dataclass(frozen=True)
    class Config:
        dim: int = 32
        \"""Coordinates per entity.\"""

    write(Config(dim=8), "settings.yaml")
    config = from_dict(Config, read("settings.yaml"))

The types of fields are those of `mulde/config/values.py`, or another such dataclass, see `mulde/config/fields.py`. The
same dataclass makes the options of a command: `mulde/config/command_line.py`.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kge_data.errors import shortened
from kge_data.printing import one_line
from mulde.config.fields import default_of, defaults_of, flatten, hints_of, leaves_of, types_of
from mulde.config.values import typed
from mulde.errors import UsageError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

LONGEST_FILE, LONGEST_LINE = 1 << 18, 5000  # bytes and characters; longer TOML keys take much memory


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the settings of a TOML or YAML file; the file name ends in .toml for TOML.

    Raises
    ------
    UsageError
        For a file that cannot be read or holds no settings.
    """
    path = Path(path)
    content = _values(path, _text(path))
    if not isinstance(content, dict):
        came = type(content).__name__
        raise UsageError(f"{path}: expected lines `name: value`, got {came}; --help-all shows the names")
    return content


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a settings file, but it cannot be read ({error})") from error
    if len(content) > LONGEST_FILE:
        raise UsageError(f"{path}: expected a settings file, but it is longer than {LONGEST_FILE:,} bytes")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONGEST_LINE:
            raise UsageError(f"{path}, line {number}: expected a setting, but the line is longer than {LONGEST_LINE:,}")
    return text


def _values(path: Path, text: str) -> Any:
    """The content of a settings file: a dictionary, unless it holds no settings."""
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except RecursionError as error:
            raise UsageError(f"{path}: brackets are nested too deep; settings are flat") from error
        except ValueError as error:  # also of integers with too many digits
            raise UsageError(f"{path}: expected TOML, but {_one_line(error)}") from error
    import yaml  # takes longer to import than most commands need for their help text

    from mulde.config import strict_yaml

    try:
        return strict_yaml.load(text)
    except strict_yaml.Refused as error:
        raise UsageError(f"{path}, {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: expected YAML, but {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return one_line(" ".join(str(error).split()))


def write(config: DataclassInstance, path: str | os.PathLike[str]) -> None:
    """Write all values to a YAML file, atomically.

    The file can be given as `--config`, or read again with `from_dict(config_type, read(path))`.
    """
    import yaml

    from mulde.files import utf8, write_atomically

    text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    write_atomically(Path(path), utf8(text))


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """All values by name, those of parts among them, as lists, numbers, words and None."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [plain(inner) for inner in value]
        return str(value) if isinstance(value, Path) else value

    return {name: plain(value) for name, value in flatten(config).items()}


def from_dict(config_type: type[C], values: Mapping[str, Any], where: str = "settings") -> C:
    """Make the dataclass from values by name; fields without a value take their defaults.

    Parameters
    ----------
    config_type
        The dataclass. Values of its parts are given by their own names.
    values
        Name -> value; hyphens in names count as underscores.
    where
        Source of the values, the beginning of every error message.

    Raises
    ------
    UsageError
        For an unknown name (with the nearest), a value of another type, or a missing value.
    """
    found = converted(config_type, values, where)
    for name, default in defaults_of(config_type).items():
        if name not in found and default is MISSING:
            raise UsageError(f"{where}: `{name}` has no default and no value; give one")
    names = {leaf.path: leaf.name for leaf in leaves_of(config_type)}
    return _composed(config_type, {path: found[name] for path, name in names.items() if name in found})


def converted(config_type: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Convert values to the types of the fields with the same names.

    Raises
    ------
    UsageError
        As `from_dict` does.
    """
    hints = hints_of(config_type)
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = shortened(key) if not isinstance(key, str) else key.replace("-", "_")
        if name in given:
            raise UsageError(f"{where}: `{name}` is given twice; keep one")
        given[name] = value
        if name not in hints:
            raise UsageError(f"{where}: {unknown('setting', name, hints, '--help-all')}")
    return {name: typed(value, hints[name], f"{where}: `{name}`") for name, value in given.items()}


def convert(config: DataclassInstance) -> None:
    """Convert every field of a dataclass in place to its declared type; for a `__post_init__`.

    Raises
    ------
    UsageError
        For a value of another type.
    """
    hints = types_of(type(config))
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(hints[field.name]):  # a part, which converts its own fields
            continue
        value = typed(getattr(config, field.name), hints[field.name], f"`{field.name}`")
        object.__setattr__(config, field.name, value)  # also of a frozen dataclass


def _composed(
    config_type: type[C], values: Mapping[tuple[str, ...], Any], path: tuple[str, ...] = (), defaults: Any = MISSING
) -> C:
    """The dataclass from values by path; ``defaults`` is an instance with the other values, or MISSING."""
    hints = types_of(config_type)
    arguments = {}
    for field in dataclasses.fields(config_type):
        here, hint = (*path, field.name), hints[field.name]
        default = default_of(field) if defaults is MISSING else getattr(defaults, field.name)
        if dataclasses.is_dataclass(hint):
            arguments[field.name] = _composed(typing.cast(Any, hint), values, here, default)
        elif here in values:
            arguments[field.name] = values[here]
        elif default is not MISSING:
            arguments[field.name] = default
    return config_type(**arguments)
