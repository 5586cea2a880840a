"""Python files of the user: a scorer, a method or a teacher."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from mulde.errors import UsageError
from mulde.files import sha256_of

PREFIX = "mulde_file_"
"""Beginning of the names of modules that are files of the user's."""


def method_in(path: Path) -> ModuleType:
    """The module of a method file of the user's, which is run.

    Raises
    ------
    UsageError
        If there is no function `build`, or an imported `run` or `build` would make another method than the file's.
    """
    module = module_of(path)
    own = [value for value in own_classes(module) if any(base.__name__ == "Method" for base in value.__mro__[1:])]
    names = ", ".join(value.__name__ for value in own)
    if not hasattr(module, "build"):
        raise UsageError(
            f"{path} has no function build, which makes the method; "
            + (f"add one that returns a {names}" if own else "and no class in it inherits from mulde.Method")
        )
    _refuse_unused(module, path, names)
    return module


def _refuse_unused(module: ModuleType, path: Path, own: str) -> None:
    """Raises UsageError where the imported `run` or `build` of another method file makes the method of that file."""
    name = "run" if hasattr(module, "run") else "build"
    elsewhere = getattr(getattr(module, name), "__globals__", {})  # the names in the module that defines it
    if elsewhere is vars(module) or "build" not in elsewhere:
        return
    if elsewhere["build"] is module.build and not own:
        return
    unused = own or "build"
    origin = elsewhere["__name__"]
    raise UsageError(
        f"{path}: {name} is imported from {origin} and trains the method that is defined there, so {unused} of "
        f"{path.name} would not be used; copy the whole file of {origin} and change the copy, or define {name} in "
        f"{path.name}"
    )


def own_classes(module: ModuleType) -> list[type]:
    """The classes that a module defines itself."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return [value for value in classes if value.__module__ == module.__name__]


def checksum(path: Path) -> str:
    """SHA-256 of a file, its first half."""
    return sha256_of(path)[:32]


def source_of(module: ModuleType) -> str | None:
    """Checksum of a module that is a file of the user's; None for other modules."""
    return checksum(Path(str(module.__file__))) if module.__name__.startswith(PREFIX) else None


def named(text: str) -> tuple[Any, Path | None]:
    """The object in ``file.py:name`` or ``module:name``, and the file that it is in.

    Modules are also looked for in the present folder, as `python -m` does.

    Raises
    ------
    UsageError
        If there is no such file, module or object.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise UsageError(f"{text}: expected file.py:name or module:name")
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise UsageError(f"{text}: {place} does not exist")
        module = module_of(Path(place))
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UsageError(f"{text}: there is no module {error.name}; is it installed?") from error
        finally:
            sys.path.remove(str(Path.cwd()))
    if not hasattr(module, name):
        raise UsageError(f"{text}: {place} has nothing called {name}")
    file = getattr(module, "__file__", None)
    return getattr(module, name), Path(file) if file else None


def module_of(path: Path) -> ModuleType:
    """The module in a Python file, which is run.

    Raises
    ------
    UsageError
        If it does not exist or ends in an error.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; name a method or the path of a Python file")
    spec = importlib.util.spec_from_file_location(f"{PREFIX}{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle find classes there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        if isinstance(error, SyntaxError) and error.filename == spec.origin:
            raise UsageError(f"{path}, line {error.lineno}: Python cannot read it: {error.msg}") from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UsageError(f"{place}: running the file ended in {type(error).__name__}: {error}") from error
    return module
