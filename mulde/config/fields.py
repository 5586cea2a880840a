"""Fields of a dataclass and of the dataclasses nested in it, by name.

A field whose type is a dataclass is a part. The fields of a part count as fields of the outer dataclass, under their
own names. Two parts may share a name where the type is the same; one value then serves both.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


def hints_of(config_type: type[Any]) -> dict[str, Any]:
    """Name -> type of every field, those of parts among them.

    Raises
    ------
    TypeError
        Where two fields share a name and differ in type.
    """
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(config_type, include_extras=True)
    for field in dataclasses.fields(config_type):
        hint = hints[field.name]
        inner = hints_of(typing.cast(Any, hint)) if dataclasses.is_dataclass(hint) else {field.name: hint}
        for name, kind in inner.items():
            if found.setdefault(name, kind) != kind:
                raise TypeError(f"{config_type.__name__}: two fields called {name}, of types {found[name]} and {kind}")
    return found


def defaults_of(config_type: type[Any]) -> dict[str, Any]:
    """Name -> default of every field, those of parts among them; MISSING where there is none."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        default, hint = default_of(field), hints[field.name]
        if dataclasses.is_dataclass(hint):
            part = defaults_of(typing.cast(Any, hint)) if default is dataclasses.MISSING else flatten(default)
            found = {**part, **found}
        else:
            found.setdefault(field.name, default)
    return found


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of one field; MISSING where there is none."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def flatten(config: DataclassInstance) -> dict[str, Any]:
    """Name -> value of every field, those of parts among them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        is_part = dataclasses.is_dataclass(value) and not isinstance(value, type)
        found |= flatten(value) if is_part else {field.name: value}
    return found


def homes_of(config_type: type[Any]) -> list[type[Any]]:
    """The dataclasses that declare the fields: the class itself, its bases, and its parts."""
    found = [home for home in config_type.__mro__ if dataclasses.is_dataclass(home)]
    for hint in typing.get_type_hints(config_type).values():
        if dataclasses.is_dataclass(hint):
            found += [home for home in homes_of(typing.cast(Any, hint)) if home not in found]
    return found


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
