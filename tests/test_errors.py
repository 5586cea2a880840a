"""Errors for users are of our own classes; the few other errors are for callers in Python, and listed here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kge_data.errors import DataError
from mulde.errors import MissingExtra, NonFiniteError, UsageError, missing, unknown

ROOT = Path(__file__).resolve().parent.parent
BUILT_IN = re.compile(r"\braise (ValueError|ImportError|ArithmeticError|RuntimeError|Exception)\(")
CAUGHT = "caught in the same function, whose error explains it"
FOR_CALLERS = {
    "kge_data/files/checksums.py": "caught by every reader of a file, whose error says what to do",
    "kge_data/packed.py": CAUGHT,
    "mulde/engine/checkpoint.py": CAUGHT,
    "mulde/federated/rounds.py": "a client failed; the traceback shows where",
    "mulde/kge/rules/storage.py": CAUGHT,
    "mulde/kge/teachers/senior.py": CAUGHT,
    "mulde/pykeen/graphs.py": CAUGHT,
    "mulde/vision/pictures/reading.py": "caught where a picture is opened, whose error names it",
    "mulde/vision/storage/quantisation.py": "caught by the export, whose error names the option",
}
"""File -> why its built-in errors are not for people."""


def raises_built_in(source: str) -> bool:
    return any(BUILT_IN.search(line) for line in source.splitlines())


def test_files_that_raise_built_in_errors_are_listed() -> None:
    files = [path for package in ("mulde", "kge_data") for path in (ROOT / package).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in files if raises_built_in(path.read_text(encoding="utf-8"))}
    assert sorted(found) == sorted(FOR_CALLERS)


def test_a_built_in_error_is_found() -> None:
    assert raises_built_in("if x:\n    raise ValueError(\n        'x'\n    )")
    assert not raises_built_in("raise UsageError('x')") and not raises_built_in("except ValueError:\n    raise")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (missing("a thing is read with x", "y"), "a thing is read with x; install it with `pip install mulde[y]`"),
        (
            unknown("thing", "abd", ["abc", "xyz"], "list"),
            'no thing called "abd"; nearest: abc; all are listed by `list`',
        ),
        (unknown("thing", "abd", ["x", "y"], "l"), 'no thing called "abd"; there are x, y; all are listed by `l`'),
        (unknown("thing", "abd", [], "list"), 'no thing called "abd"; there are none; all are listed by `list`'),
    ],
)  # fmt: skip
def test_sentences(error: UsageError, sentence: str) -> None:
    assert str(error) == sentence


def test_classes() -> None:
    assert issubclass(DataError, UsageError) and issubclass(MissingExtra, UsageError)
    assert issubclass(UsageError, ValueError) and issubclass(NonFiniteError, ArithmeticError)
