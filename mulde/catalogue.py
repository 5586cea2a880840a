"""Names of scorers, methods, graphs and pretrained models, read from the folders that hold them.

A shelf is a folder. Each of its Python files without a leading underscore is an entry: the file name is the name on the
command line, and the first line of the docstring is the summary. Listing reads text and imports nothing.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from kge_data.spelling import plain, spelled_as
from mulde import pretrained
from mulde.errors import UsageError, unknown

Kind = Literal["scorers", "methods", "data", "models"]

ROOT = Path(__file__).resolve().parent.parent
GRAPH_METHODS, IMAGE_METHODS = "mulde/kge/methods", "mulde/vision/methods"
SHELVES: dict[str, tuple[str, ...]] = {
    "scorers": ("mulde/kge/scorers",),
    "methods": (GRAPH_METHODS, IMAGE_METHODS),
    "data": ("kge_data/sets",),
}
BASE = {"scorers": "Scorer", "methods": "Method"}
SINGULAR = {"scorers": "scorer", "methods": "method", "data": "graph", "models": "model"}

PAPER_NAMES = {"transh": "hyperbolic_transe"}
"""Names in the MulDE paper that mean another model elsewhere: TransH of 2014 translates on hyperplanes."""

Field = Literal[
    "knowledge graphs",
    "compression",
    "self-distillation",
    "mutual distillation",
    "few or no data",
    "few shots",
    "long-tailed data",
    "domain generalisation",
    "self-supervision",
    "federated learning",
    "detection",
    "segmentation of video",
    "training on labels",
]
"""Field of a method; tables are in this order. A method's file names its own: ``FIELD = "detection"``."""

PAGES = {"colad": "lad"}
"""Methods that are described on the page of another one."""

FIRST_LINE = re.compile(r'\s*[rR]?"""\s*(.*?)\s*(?:"""|\n)')
STUDY = re.compile(r"^STUDY\b", re.MULTILINE)
FIELD = re.compile(r"^FIELD = \"(.*)\"$", re.MULTILINE)
VIDEO = re.compile(r"^NEEDS = Needs\(\s*\"video\"", re.MULTILINE)


def names(kind: Kind) -> list[tuple[str, str]]:
    """Names of a kind with their summaries, sorted by name.

    Raises
    ------
    UsageError
        For a kind that does not exist.
    """
    if kind == "models":
        return [(name, pretrained.summary(path)) for name, path in pretrained.paths().items()]
    return [(name, summary(path)) for name, path in entries(kind).items()]


def entries(kind: str) -> dict[str, Path]:
    """Name on the command line -> file, sorted by name.

    Raises
    ------
    UsageError
        For a kind that does not exist.
    """
    if kind == "models":
        return pretrained.paths()
    if kind not in SHELVES:
        raise UsageError(f'no list called "{kind}"; there are {", ".join(get_args(Kind))}')
    paths = sorted((path for shelf in SHELVES[kind] for path in shelf_files(shelf)), key=lambda path: path.stem)
    return {path.stem.replace("_", "-") if kind == "data" else path.stem: path for path in paths}


def shelf_files(shelf: str) -> list[Path]:
    """The entries of a shelf, a folder given relative to the installation."""
    return sorted((ROOT / shelf).glob("[!_]*.py"))


def studies() -> list[str]:
    """Names of the image methods that `mulde ablate` takes: those whose files define a STUDY."""
    return [path.stem for path in shelf_files(IMAGE_METHODS) if STUDY.search(path.read_text(encoding="utf-8"))]


def place_of(path: Path) -> str:
    """The path of a file relative to the folder of the package, with /."""
    return path.relative_to(ROOT).as_posix()


def file_of_method(method: str) -> str:
    """The file of a method: by name, relative to the folder of the package; a path of the user's as it is."""
    return method if method.endswith(".py") else place_of(path_of("methods", method))


def page_of(method: str) -> str:
    """The page of a method in the documentation."""
    return f"docs/methods/{PAGES.get(method, method)}.md"


def verbs_of_methods() -> dict[str, str]:
    """Method -> the verb that trains a student by it, `distil` or, for methods on videos, `stream`."""
    found = dict.fromkeys([path.stem for path in shelf_files(GRAPH_METHODS)], "distil")
    for path in shelf_files(IMAGE_METHODS):
        found[path.stem] = "stream" if VIDEO.search(path.read_text(encoding="utf-8")) else "distil"
    return found


def fields_of_methods() -> dict[str, str]:
    """Method -> its field, one of `Field`; sorted by field and then by name."""
    found = {name: field(path) for name, path in entries("methods").items()}
    order = {name: number for number, name in enumerate(get_args(Field))}
    return dict(sorted(found.items(), key=lambda item: order.get(item[1], len(order))))


def field(path: Path) -> str:
    """The field that a method's file names; empty where it names none."""
    match = FIELD.search(path.read_text(encoding="utf-8"))
    return match[1] if match else ""


def path_of(kind: Kind, name: str) -> Path:
    """The file of an entry; capitals, hyphens and underscores in the name do not matter.

    The scorer "TransH" is that of the MulDE paper, `hyperbolic_transe` (see `note`).

    Raises
    ------
    UsageError
        For an unknown name, with the nearest ones.
    """
    found = entries(kind)
    meant = PAPER_NAMES.get(plain(name), name) if kind == "scorers" else name
    if own := spelled_as(meant, found):
        return found[own]
    raise unknown(SINGULAR[kind], name, found, f"mulde list {kind}")


def find(kind: Kind, name: str) -> Any:
    """The class called `name` (a graph's record for "data", a path for "models"); imports its file only.

    Raises
    ------
    UsageError
        For an unknown name, with the nearest ones.
    """
    path = path_of(kind, name)
    if kind == "models":
        return path
    module = module_at(path)
    return module.RECORD if kind == "data" else class_in(module, BASE[kind])


def module_at(path: Path) -> ModuleType:
    """Import the module of an entry's file."""
    return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def class_in(module: ModuleType, base: str) -> Any:
    """The public class that a module defines and that inherits from a class called `base`.

    Of several, the one with the name of the file.

    Raises
    ------
    UsageError
        Where there is none, or several and none with the name of the file.
    """
    public = [value for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
    found = [
        value
        for value in public
        if value.__module__ == module.__name__ and any(ancestor.__name__ == base for ancestor in value.__mro__[1:])
    ]
    if len(found) > 1:
        stem = plain(module.__name__.rpartition(".")[2])
        found = [value for value in found if plain(value.__name__) == stem]
    if not found:
        raise UsageError(
            f"{module.__name__}: expected a class that inherits from {base}, found none, or several and none with the "
            "name of the file; define one"
        )
    return found[0]


def note(kind: Kind, name: str) -> str | None:
    """A sentence for the user where `name` is a paper's name for an entry that has another name here."""
    meant = PAPER_NAMES.get(plain(name)) if kind == "scorers" else None
    return meant and f'"{name}" is taken as the MulDE paper\'s, which is called {meant} here'


def summary(path: Path) -> str:
    """The first line of a file's docstring, without its full stop; empty where there is none."""
    match = FIRST_LINE.match(path.read_text(encoding="utf-8"))
    return match[1].strip().rstrip(".") if match else ""
