"""The catalogue finds what the folders hold, and answers a wrong name with the nearest ones."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kge_data
from mulde import catalogue
from mulde.engine import Method
from mulde.errors import UsageError
from mulde.kge.model.scorer import Scorer


def test_every_scorer_is_listed_with_its_first_line() -> None:
    listed = dict(catalogue.names("scorers"))
    assert {"roth", "rote", "complex"} <= set(listed)
    assert list(listed) == sorted(listed)
    assert listed["roth"] == "RotH: rotation between two translations in the Poincaré ball"
    assert all(listed.values())


def test_files_that_are_no_scorers_are_left_out() -> None:
    listed = dict(catalogue.names("scorers"))
    assert listed.keys().isdisjoint({"scorer", "kge_model", "scoring", "attention", "__init__"})


@pytest.mark.parametrize("name", [name for name, _ in catalogue.names("scorers")])
def test_every_listed_scorer_is_found(name: str) -> None:
    found = catalogue.find("scorers", name)
    assert issubclass(found, Scorer)
    assert not inspect.isabstract(found)
    assert found.__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("name", [name for name, _ in catalogue.names("methods")])
def test_every_listed_method_is_found(name: str) -> None:
    assert issubclass(catalogue.find("methods", name), Method)


def test_graphs_are_those_of_kge_data() -> None:
    assert [name for name, _ in catalogue.names("data")] == kge_data.names()
    assert catalogue.find("data", "UMLS").entities == 135


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
    with pytest.raises(UsageError) as error:
        catalogue.find("scorers", "rothh")
    assert str(error.value) == ('no scorer called "rothh"; nearest: roth, rote; all are listed by `mulde list scorers`')


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(UsageError, match="nearest: codex-s, fb15k-237, kinships, nations, umls, wn18rr"):
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


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from mulde import catalogue;"
        "[catalogue.names(kind) for kind in ('scorers', 'methods', 'data')];"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False False"
