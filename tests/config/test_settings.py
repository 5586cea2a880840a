"""Settings are written to files and read back."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from mulde.config import convert, from_dict, hints_of, options_of, read, to_dict, write
from mulde.errors import UsageError


@dataclass(frozen=True)
class Config:
    scorer: str
    dim: int = 32
    curvature: Literal["global", "per-relation"] = "global"
    teacher: tuple[str, ...] = ()
    widths: tuple[int, ...] = (64, 48)
    resume: bool = True
    patience: int | None = None
    folder: Path = Path("runs")
    learning_rate: float = 1e-3


def settings(tmp_path: Path, text: str, name: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", 'scorer = "refh"\nteacher = ["a", "b"]\nfolder = "x"\nlearning-rate = 1\n'),
        ("a.yaml", "scorer: refh\nteacher: [a, b]\nfolder: x\nlearning_rate: 1e0\n"),
    ],
)
def test_both_formats(tmp_path: Path, name: str, text: str) -> None:
    values = read(settings(tmp_path, text, name))
    expected = Config("refh", teacher=("a", "b"), folder=Path("x"), learning_rate=1.0)
    assert from_dict(Config, values) == expected


def test_a_dataclass_that_converts_itself() -> None:
    @dataclass(frozen=True)
    class Checked(Config):
        def __post_init__(self) -> None:
            convert(self)

    config = Checked("r", dim=np.int64(8), folder="x", learning_rate=np.float32(0.5))  # type: ignore[arg-type]
    assert config == Checked("r", dim=8, folder=Path("x"), learning_rate=0.5)
    assert [type(value) for value in (config.dim, config.folder, config.learning_rate)] == [int, type(Path()), float]
    with pytest.raises(UsageError, match="should be one of global, per-relation, got "):
        replace(config, curvature="globl")  # type: ignore[arg-type]


def test_written_settings_come_back(tmp_path: Path) -> None:
    config = Config("roth", teacher=("ä", "b"), patience=4, learning_rate=1e-5, widths=(2,))
    path = tmp_path / "config.yaml"
    write(config, path)
    assert from_dict(Config, read(path)) == config
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(Config("roth"), tmp_path / "config.yaml")
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_to_dict_is_plain() -> None:
    values = to_dict(Config("roth", teacher=("a",)))
    assert values["teacher"] == ["a"]
    assert values["folder"] == "runs"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"scorer": "r", "dmi": 3}, 'x: no setting called "dmi"; nearest: dim; all are listed by `--help-all`'),
        ({"\x1b[31m": 3}, r'x: no setting called "\x1b[31m"; there are curvature, dim, folder, learning_rate, '
         "patience, resume, scorer, teacher, widths; all are listed by `--help-all`"),
        ({"scorer": "r", "dim": "8"}, "x: `dim` should be a whole number, got '8'"),
        ({"scorer": "r", "dim": True}, "x: `dim` should be a whole number, got True"),
        ({"scorer": "r", "learning_rate": True}, "x: `learning_rate` should be a number, got True"),
        ({"scorer": "r", "learning_rate": "fast"}, "x: `learning_rate` should be a number, got 'fast'"),
        ({"scorer": "r", "resume": "yes"}, "x: `resume` should be true or false, got 'yes'"),
        ({"scorer": "r", "patience": "no"}, "x: `patience` should be a whole number or empty, got 'no'"),
        ({"scorer": "r", "curvature": 3}, "x: `curvature` should be one of global, per-relation, got 3"),
        ({"scorer": "r", "teacher": "a"}, "x: `teacher` should be a list (each entry a word), got 'a'"),
        ({"scorer": "r", "teacher": ["a", 1]}, "x: `teacher`, entry 2 should be a word, got 1"),
        ({"scorer": "r", "dim": 16**4000},
         "x: `dim` should be a whole number, below 2^31, got a value that is too large to show"),
        ({"scorer": "r", "dim": 2**63}, f"x: `dim` should be a whole number, below 2^31, got {2**63}"),
        ({"scorer": "r", "learning_rate": 10**400}, f"x: `learning_rate` should be a number, got 1{'0' * 116}..."),
        ({"scorer": "r", "folder": "a\0"}, r"x: `folder` should be a path, got 'a\x00'"),
        ({"scorer": "r", "folder": ""}, "x: `folder` should be a path, got ''"),
        ({"scorer": "r", "learning-rate": 1, "learning_rate": 2}, "x: `learning_rate` is given twice; keep one"),
        ({}, "x: `scorer` has no default and no value; give one"),
    ],
)  # fmt: skip
def test_messages(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        from_dict(Config, values, where="x")
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.toml", "x = ", "a.toml: expected TOML, but Invalid value"),
        ("a.yaml", "a: [", "a.yaml: expected YAML, but while parsing"),
        ("a.yaml", "- a", "a.yaml: expected lines `name: value`, got list; --help-all shows the names"),
        ("a.yaml", "\0", "a.yaml: expected YAML, but unacceptable character"),
        ("a.yaml", "dim: 8\ndim: 16\n", "a.yaml, line 2: 'dim' is given twice, first in line 1"),
        ("a.yaml", "{dim: 8, 'dim': 16}", "a.yaml, line 1: 'dim' is given twice, first in line 1"),
        ("a.yaml", "# x\ndim: 2026-99-99", "a.yaml, line 2: `dim`: '2026-99-99' is not a valid timestamp; correct"),
        ("a.yaml", f"dim: {'9' * 4900}", "999...' is not a valid int; correct it"),
        ("a.yaml", "resume: !!bool x", "a.yaml, line 1: `resume`: 'x' is not a valid bool"),
        ("a.yaml", 'scorer: "\\ud800"', "a.yaml, line 1: `scorer`: '\\ud800' is not a valid str"),
        ("a.yaml", "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnop")),
         "holds more than 10,000 values; write out what is meant"),
        ("a.yaml", "dim: &a [*a]", "a.yaml, line 1: `dim`: holds more than 10,000 values"),
        ("a.yaml", "- " * 2000, "a.yaml, line 1: brackets or blocks are nested too deep; settings are flat"),
        ("a.yaml", "dim: !!python/name:os.system x", "a.yaml: expected YAML, but could not determine a constructor"),
        ("a.yaml", f"dim: {'[' * 20_000}", "a.yaml, line 1: expected a setting, but the line is longer than 5,000"),
        ("a.toml", f"dim = {'[' * 4000}", "a.toml: brackets are nested too deep; settings are flat"),
        ("a.toml", f"dim = {'9' * 4900}", "a.toml: expected TOML, but Exceeds the limit"),
        ("a.toml", f"{'a.' * 4000}a = 1", "a.toml, line 1: expected a setting, but the line is longer than 5,000"),
        ("a.toml", "dim = 8\ndim = 16\n", "a.toml: expected TOML, but Cannot overwrite a value"),
        ("a.toml", "#\n" * (1 << 17) + "#", "a.toml: expected a settings file, but it is longer than 262,144 bytes"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        read(settings(tmp_path, text, name))
    assert sentence in str(error.value)


def test_a_byte_order_mark_aliases_and_merged_keys(tmp_path: Path) -> None:
    assert read(settings(tmp_path, "\ufeffdim: &n 3\nb: *n\n", "a.yaml")) == {"dim": 3, "b": 3}
    assert read(settings(tmp_path, "\ufeffdim = 3\n", "a.toml")) == {"dim": 3}
    merged = read(settings(tmp_path, "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n", "b.yaml"))
    assert merged["b"] == {"x": 3, "y": 2}


@dataclass(frozen=True)
class Schedule:
    """How long."""

    epochs: int = 10
    """Passes."""
    rate: float = 0.1
    """Learning rate."""


@dataclass(frozen=True)
class Nested:
    """A part and a field beside it."""

    schedule: Schedule = field(default_factory=lambda: Schedule(rate=0.5))
    """Options of the training."""
    name: str = "x"
    """Name."""


def test_nested_fields_are_read_and_written_by_their_own_names() -> None:
    assert to_dict(Nested()) == {"epochs": 10, "rate": 0.5, "name": "x"}
    assert from_dict(Nested, {"epochs": 3}) == Nested(Schedule(3, 0.5), "x")
    assert hints_of(Nested) == {"epochs": int, "rate": float, "name": str}
    with pytest.raises(UsageError, match='no setting called "epoch"; nearest: epochs'):
        from_dict(Nested, {"epoch": 3})


def test_one_name_of_two_types_is_refused() -> None:
    other = make_dataclass("Other", [("schedule", Schedule), ("epochs", str)])
    with pytest.raises(TypeError, match="two fields called epochs"):
        hints_of(other)


@dataclass(frozen=True)
class Stages:
    """Four parts, three of one type."""

    schedule: Schedule = field(default_factory=Schedule)
    """The main stage."""
    warmup: Schedule = field(default_factory=lambda: Schedule(2))
    """The first stage."""
    other_schedule: Schedule = field(default_factory=lambda: Schedule(4))
    """The same for another network."""
    nested: Nested = field(default_factory=Nested)
    """A part with a part that has the name and type of the main stage."""


def test_two_parts_of_one_type_have_names_of_their_own() -> None:
    names = {"epochs": 10, "rate": 0.1, "warmup_epochs": 2, "warmup_rate": 0.1}
    names |= {"other_epochs": 4, "other_rate": 0.1, "name": "x"}
    assert to_dict(Stages()) == {**names, "rate": 0.5}  # of the last part that shares it
    found = from_dict(Stages, {"warmup_epochs": 5, "rate": 0.2})
    assert (found.schedule, found.warmup, found.nested.schedule) == (Schedule(10, 0.2), Schedule(5), Schedule(10, 0.2))
    groups = {option.name: option.group for option in options_of(Stages)}
    assert groups["epochs"] == "How long" and groups["warmup_epochs"] == "How long (warmup)"
    assert groups["other_epochs"] == "How long (other)"
