"""The catalogue lists the files of the shelves, and errors for a wrong name list the nearest ones.

The contract of a shelf runs over its files: a new scorer, method or graph needs no line here.
"""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import kge_data
from mulde import catalogue
from mulde.engine import Method
from mulde.errors import UsageError
from mulde.kge.model.scorer import Scorer

KINDS: list[catalogue.Kind] = ["scorers", "methods", "data", "models"]
FILES = [path for shelves in catalogue.SHELVES.values() for shelf in shelves for path in catalogue.shelf_files(shelf)]
BASES = {"scorers": Scorer, "methods": Method}
CLASSES = [(kind, path) for kind in BASES for path in catalogue.entries(kind).values()]


@pytest.mark.parametrize("shelf", [shelf for shelves in catalogue.SHELVES.values() for shelf in shelves])
def test_a_shelf_holds_entries_and_nothing_else(shelf: str) -> None:
    folder = catalogue.ROOT / shelf
    allowed = {*catalogue.shelf_files(shelf), folder / "__init__.py", folder / "__pycache__"}
    others = {path for path in folder.iterdir() if path.suffix != ".txt"}  # a graph's notice
    assert others - allowed == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_entry_is_listed_with_its_first_line(path: Path) -> None:
    docstring = catalogue.module_at(path).__doc__ or ""
    first = docstring.split("\n")[0].strip().rstrip(".")
    assert first and path in {found for kind in catalogue.SHELVES for found in catalogue.entries(kind).values()}
    assert catalogue.summary(path) == first


@pytest.mark.parametrize(("kind", "path"), CLASSES, ids=lambda value: getattr(value, "stem", value))
def test_every_entry_defines_the_class_of_its_name(kind: catalogue.Kind, path: Path) -> None:
    found = catalogue.find(kind, path.stem)
    assert issubclass(found, BASES[kind]) and not inspect.isabstract(found)
    assert found.__module__.endswith(f".{path.stem}")
    assert found.__name__.lower() == path.stem.replace("_", "")


def test_a_name_stands_for_one_entry() -> None:
    every = [name for kind in KINDS for name, _ in catalogue.names(kind)]
    assert len(every) == len(set(every)) == len(FILES) + len(catalogue.entries("models"))


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_sorted(kind: catalogue.Kind) -> None:
    listed = [name for name, _ in catalogue.names(kind)]
    assert listed and listed == sorted(listed)


def test_graphs_are_those_of_kge_data() -> None:
    assert [name for name, _ in catalogue.names("data")] == kge_data.names()
    assert catalogue.find("data", "UMLS").entities == 135


def test_studies_are_the_files_that_define_one() -> None:
    folder = catalogue.IMAGE_METHODS.replace("/", ".")
    paths = catalogue.shelf_files(catalogue.IMAGE_METHODS)
    modules = {path.stem: importlib.import_module(f"{folder}.{path.stem}") for path in paths}
    assert catalogue.studies() == [name for name, module in sorted(modules.items()) if hasattr(module, "STUDY")]


def test_every_method_names_its_field() -> None:
    fields = catalogue.fields_of_methods()
    assert {*fields.values()} == {*get_args(catalogue.Field)}, 'write FIELD = "...", a name in `catalogue.Field`'
    assert next(iter(fields)) == "average" and list(fields)[-1] == "supervised"
    for name, path in catalogue.entries("methods").items():
        assert fields[name] == catalogue.module_at(path).FIELD


@pytest.mark.parametrize("spelling", ["RotH", "roth", "ROTH"])
def test_capitals_do_not_matter(spelling: str) -> None:
    assert catalogue.find("scorers", spelling).__name__ == "RotH"


@pytest.mark.parametrize("spelling", ["HyperbolicTransE", "hyperbolic-transe", "hyperbolic_transe", "TransH"])
def test_the_papers_transh_is_hyperbolic_transe(spelling: str) -> None:
    assert catalogue.find("scorers", spelling).__name__ == "HyperbolicTransE"
    noted = catalogue.note("scorers", spelling)
    assert noted == (
        '"TransH" is taken as the MulDE paper\'s, which is called hyperbolic_transe here'
        if spelling == "TransH"
        else None
    )


def test_unknown_name() -> None:
    sentence = 'no scorer called "rothh"; nearest: roth, .*; all are listed by `mulde list scorers`'
    with pytest.raises(UsageError, match=sentence):
        catalogue.find("scorers", "rothh")


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(UsageError, match=f"there are {', '.join(kge_data.names())}"):
        catalogue.find("data", "zzzz")


def test_unknown_kind() -> None:
    with pytest.raises(UsageError, match='no list called "scorer"; there are scorers, methods, data'):
        catalogue.names("scorer")  # type: ignore[arg-type]


def test_the_first_line_of_a_docstring_is_read_without_importing(tmp_path: Path) -> None:
    file = tmp_path / "foo_bar.py"
    file.write_text('"""Foo: a first line.\n\nMore."""\nimport no_such_package\n', encoding="utf-8")
    assert catalogue.summary(file) == "Foo: a first line"
    file.write_text("import no_such_package\n", encoding="utf-8")
    assert catalogue.summary(file) == ""


def module(**classes: type) -> ModuleType:
    made = ModuleType("shelf.foo_bar")
    for name, value in classes.items():
        value.__module__ = made.__name__
        setattr(made, name, value)
    return made


def test_the_class_of_a_file() -> None:
    base = type("Scorer", (), {})
    bar, baz, own = (type(name, (base,), {}) for name in ("Bar", "Baz", "FooBar"))
    assert catalogue.class_in(module(Bar=bar), "Scorer") is bar
    assert catalogue.class_in(module(Bar=bar, FooBar=own, Other=type("Other", (), {})), "Scorer") is own
    for classes in ({}, {"Bar": bar, "Baz": baz}, {"_Bar": bar}):
        with pytest.raises(UsageError, match="expected a class that inherits from Scorer, found none, or several"):
            catalogue.class_in(module(**classes), "Scorer")


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from mulde import catalogue;"
        f"[catalogue.names(kind) for kind in {KINDS}];"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False False"
