"""Impossible numbers for every numeric option of every verb and method, which are found from the options themselves."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from mulde import catalogue
from mulde.cli import FOLDER, main, verbs
from mulde.config import Duration, Option, options_of
from mulde.config.values import alternatives
from mulde.kge.training.method_file import names
from tests.vision.small_students import write_untrained

BAD = ("-1", "inf", "", "9" * 5000)
WHOLE = (str(2**31), str(2**63), "1.5")
STUDENT = "student"
"""Folder of a student of an image method, for the verbs that take one."""
MAY_BE_NEGATIVE = {"margin", "max_loss", "entropy_weight"}


def commands() -> Iterator[tuple[str, ...]]:
    """A verb, with a method where it has options of its own."""
    for verb in verbs():
        yield (verb,)
        if verb in ("distil", "run", "tune"):
            yield from ((verb, f"--method={method}") for method in names())
        if (FOLDER / "images" / f"{verb}.py").exists():
            yield verb, STUDENT
        if verb == "ablate":
            yield from ((verb, f"--method={method}") for method in catalogue.studies())


def options(command: tuple[str, ...]) -> list[Option]:
    """The options of a command."""
    place = "images." if STUDENT in command else ""
    module = importlib.import_module(f"mulde.cli.{place}{command[0]}")
    chosen = {"method": command[1].partition("=")[2]} if len(command) > 1 else {}
    config: Any = module.compose(chosen) if hasattr(module, "compose") else module.Config
    return options_of(config)


def impossible() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Command, name of the option, word.

    Every option gets nan, once where several methods share it. The type of the option decides about all other words, so
    one option of each type gets them.
    """
    known, types = set(), set()
    for command in commands():
        found = options(command)
        missing = [each for each in found if each.default is dataclasses.MISSING]
        required = [f"{each.flag}={next(iter(get_args(each.kind)), 'nothing')}" for each in missing]
        for option in found:
            if not {int, float, Duration} & set(alternatives(option.kind)):
                continue
            kind = str(option.hint)
            words = ["nan"] if (option.name, kind) not in known or len(command) == 1 else []
            known.add((option.name, kind))
            if kind not in types and option.name not in MAY_BE_NEGATIVE:
                words += [*BAD, *(WHOLE if int in alternatives(option.kind) else ())]
                types.add(kind)
            for word in words:
                yield (*command, *required, f"{option.flag}={word}"), option.name, word


def test_impossible_numbers_are_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_untrained(tmp_path / STUDENT, "embed")
    monkeypatch.chdir(tmp_path)
    checked = set()
    for words, name, word in impossible():
        assert main(words) == 2, (words[0], name, word[:20])
        out, err = capfd.readouterr()
        assert not out and err.startswith("mulde: ") and err.count("\n") == 1 and len(err) < 400, err
        assert name in err.replace("-", "_"), (err, name, word)
        checked.add(name)
    assert {"dim", "lr", "budget", "threads", "betas", "milestones", "seeds", "height", "least"} < checked
