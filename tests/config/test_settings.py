"""Settings are written to files and read back."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from mulde.config import convert, from_dict, hints_of, read, to_dict, write
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
        ({"scorer": "r", "dim": "8"}, "x: `dim` should be a whole number, got '8'"),
        ({"scorer": "r", "dim": True}, "x: `dim` should be a whole number, got True"),
        ({"scorer": "r", "learning_rate": True}, "x: `learning_rate` should be a number, got True"),
        ({"scorer": "r", "learning_rate": "fast"}, "x: `learning_rate` should be a number, got 'fast'"),
        ({"scorer": "r", "resume": "yes"}, "x: `resume` should be true or false, got 'yes'"),
        ({"scorer": "r", "patience": "no"}, "x: `patience` should be a whole number or empty, got 'no'"),
        ({"scorer": "r", "curvature": 3}, "x: `curvature` should be one of global, per-relation, got 3"),
        ({"scorer": "r", "teacher": "a"}, "x: `teacher` should be a list (each entry a word), got 'a'"),
        ({"scorer": "r", "teacher": ["a", 1]}, "x: `teacher`, entry 2 should be a word, got 1"),
        ({}, "x: `scorer` has no default and no value; give one"),
    ],
)
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
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        read(settings(tmp_path, text, name))
    assert sentence in str(error.value)


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
