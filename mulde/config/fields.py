"""Fields of a dataclass and of the dataclasses nested in it, by name.

A field whose type is a dataclass is a part. The fields of a part count as fields of the outer dataclass, under their
own names. Where one type has two parts with different names, the fields of the second part begin with its name:
``training: Training`` and ``pretraining: Training`` have ``epochs`` and ``pretraining_epochs``. A name that ends in
that of the first part is shortened by it: the fields of ``teacher_training: Training`` begin with ``teacher_``. Parts
with the same type and name, inside two other parts, are one: one value serves both. Other fields may share a name where
the type is the same.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


@dataclass(frozen=True)
class Leaf:
    """A field that is not a part."""

    name: str
    """Its name in the outer dataclass."""
    path: tuple[str, ...]
    """Names of the fields that lead to it."""
    hint: Any
    """Its type."""
    home: type[Any]
    """The dataclass that declares it."""
    prefix: str
    """What its name begins with, because another part has the same type; empty in most cases."""


def leaves_of(config_type: type[Any]) -> tuple[Leaf, ...]:
    """All fields that are not parts, in the order of their declaration, those of parts in the place of the part."""
    return _leaves_of(config_type)  # type: ignore[arg-type]  # classes are hashable


@cache
def _leaves_of(config_type: type[Any]) -> tuple[Leaf, ...]:
    return tuple(_leaves(config_type, (), "", {}))


@cache
def types_of(config_type: type[Any]) -> dict[str, Any]:
    """Field -> its type, as `typing.get_type_hints` evaluates it, which takes a millisecond. Not to be changed."""
    return typing.get_type_hints(config_type, include_extras=True)


def _leaves(config_type: type[Any], path: tuple[str, ...], prefix: str, seen: dict[Any, str]) -> Iterator[Leaf]:
    """seen: type of a part -> name of the first part of this type."""
    hints = types_of(config_type)  # type: ignore[arg-type]  # classes are hashable
    for field in dataclasses.fields(config_type):
        hint, here = hints[field.name], (*path, field.name)
        if not dataclasses.is_dataclass(hint):
            yield Leaf(prefix + field.name, here, hint, _home(config_type, field.name), prefix)
        elif (first := seen.setdefault(hint, field.name)) == field.name:
            yield from _leaves(typing.cast(Any, hint), here, prefix, seen)
        else:
            own = f"{prefix}{field.name.removesuffix(f'_{first}')}_"
            yield from _leaves(typing.cast(Any, hint), here, own, {hint: field.name})


def _home(config_type: type[Any], name: str) -> type[Any]:
    return next(home for home in config_type.__mro__ if name in inspect.get_annotations(home))


def hints_of(config_type: type[Any]) -> dict[str, Any]:
    """Name -> type of every field, those of parts among them.

    Raises
    ------
    TypeError
        Where two fields share a name and differ in type.
    """
    found: dict[str, Any] = {}
    for leaf in leaves_of(config_type):
        if (known := found.setdefault(leaf.name, leaf.hint)) != leaf.hint:
            raise TypeError(f"{config_type.__name__}: two fields called {leaf.name}, of types {known} and {leaf.hint}")
    return found


def defaults_of(config_type: type[Any]) -> dict[str, Any]:
    """Name -> default of every field, those of parts among them; MISSING where there is none."""
    found: dict[str, Any] = {}
    made = cache(default_of)  # each part once, not once for each of its fields
    for leaf in leaves_of(config_type):
        if leaf.name not in found:
            found[leaf.name] = _default_at(config_type, leaf.path, made)
    return found


def _default_at(config_type: Any, path: tuple[str, ...], made: Callable[[Any], Any]) -> Any:
    """The default of a field of a part: that of the part's own default, or of its type; ``made``: `default_of`."""
    field = next(field for field in dataclasses.fields(config_type) if field.name == path[0])
    default = made(field)
    if len(path) == 1:
        return default
    if default is dataclasses.MISSING:
        return _default_at(types_of(config_type)[path[0]], path[1:], made)
    return _value_at(default, path[1:])


def _value_at(config: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        config = getattr(config, name)
    return config


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of one field; MISSING where there is none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def flatten(config: DataclassInstance) -> dict[str, Any]:
    """Name -> value of every field, those of parts among them."""
    return {leaf.name: _value_at(config, leaf.path) for leaf in leaves_of(type(config))}


def groups_of(config_type: type[Any]) -> list[tuple[type[Any], list[Leaf]]]:
    """The fields by the dataclass that declares them: the class itself, its bases, and its parts."""
    found: dict[tuple[Any, str], dict[str, Leaf]] = {}
    for home in config_type.__mro__:
        found[home, ""] = {}
    for leaf in leaves_of(config_type):
        found.setdefault((leaf.home, leaf.prefix), {}).setdefault(leaf.name, leaf)
    return [(home, list(own.values())) for (home, _), own in found.items() if own]


def extended(config_type: type[C], **parts: Any) -> type[C]:
    """A subclass of a frozen dataclass with further parts, for options that depend on another option.

    Parameters
    ----------
    config_type
        The dataclass.
    parts
        Field name -> a dataclass, or an instance of one, whose values are then the defaults.
    """
    fields: list[Any] = []
    for name, part in parts.items():
        if isinstance(part, type):
            fields.append((name, part, dataclasses.field(kw_only=True)))
        else:
            fields.append((name, type(part), dataclasses.field(default=part, kw_only=True)))
    return dataclasses.make_dataclass(config_type.__name__, fields, bases=(config_type,), frozen=True)
