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


def member(module: ModuleType, name: str, path: Path) -> Any:
    """The object called `name` in the module of a Python file.

    Raises
    ------
    UsageError
        If there is none.
    """
    if not hasattr(module, name):
        methods = ", ".join(
            key
            for key, value in vars(module).items()
            if isinstance(value, type)
            and value.__module__ == module.__name__
            and any(ancestor.__name__ == "Method" for ancestor in value.__mro__[1:])
        )
        raise UsageError(
            f"{path} has no function {name}, which makes the method; "
            + (f"add one that returns a {methods}" if methods else "and no class in it inherits from mulde.Method")
        )
    return getattr(module, name)


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
    spec = importlib.util.spec_from_file_location(f"mulde_file_{path.stem}", path)
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
