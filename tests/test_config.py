"""Options, settings files, and the way back: one dataclass is all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from mulde.config import Positional, from_dict, parse, read, to_dict, write
from mulde.errors import UsageError


@dataclass(frozen=True)
class Optimiser:
    """How parameters move."""

    name: Literal["adam", "adagrad"] = "adam"
    """Which update rule."""
    learning_rate: float = 1e-3
    """Step size."""


@dataclass(frozen=True)
class Config:
    scorer: Positional[str]
    """Which scoring function."""
    dim: int = 32
    """Coordinates per entity."""
    curvature: Literal["global", "per-relation"] = "global"
    """One curvature, or one per relation."""
    teacher: tuple[str, ...] = ()
    """A run folder; repeat for several."""
    widths: tuple[int, ...] = (64, 48)
    """Dimensions on the way down."""
    resume: bool = True
    """Continue where the last run stopped."""
    patience: int | None = None
    """Epochs without progress before the end."""
    folder: Path = Path("runs")
    """Where results go."""
    optimiser: Optimiser = field(default_factory=lambda: Optimiser(learning_rate=0.5))

    def __post_init__(self) -> None:
        if self.curvature == "per-relation" and not self.teacher:
            raise ValueError("per-relation needs a teacher")


@dataclass(frozen=True)
class WithPreset(Config):
    data: str = "umls"
    """A graph."""
    preset: Literal["paper", "best"] = "best"
    """Where other defaults come from."""


def parsed(*words: str) -> Config:
    return parse(Config, words, prog="mulde train", description="Train a teacher.")


def settings(tmp_path: Path, text: str, name: str = "settings.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_defaults_and_position() -> None:
    assert parsed("roth") == Config(scorer="roth")


def test_options() -> None:
    words = "roth --dim 8 --teacher a --teacher b --no-resume --patience 3 --optimiser.learning-rate 2"
    config = parsed(*words.split())
    assert (config.dim, config.teacher, config.resume, config.patience) == (8, ("a", "b"), False, 3)
    assert config.optimiser == Optimiser("adam", 2.0)


def test_a_repeated_option_replaces_the_default() -> None:
    assert parsed("roth", "--widths", "16").widths == (16,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", 'scorer = "refh"\nteacher = ["a", "b"]\nfolder = "x"\n[optimiser]\nlearning-rate = 1\n'),
        ("a.yaml", "scorer: refh\nteacher: [a, b]\nfolder: x\noptimiser:\n  learning_rate: 1e0\n"),
    ],
)
def test_file_then_explicit_options(tmp_path: Path, name: str, text: str) -> None:
    file = settings(tmp_path, text, name)
    from_file = parsed("--config", file)
    assert from_file == Config("refh", teacher=("a", "b"), folder=Path("x"), optimiser=Optimiser("adam", 1.0))
    explicit = parsed("roth", f"--config={file}", "--teacher", "c", "--optimiser.name", "adagrad")
    assert (explicit.scorer, explicit.teacher, explicit.folder) == ("roth", ("c",), Path("x"))
    assert explicit.optimiser == Optimiser("adagrad", 1.0)


def test_presets_lie_below_the_file_and_the_options(tmp_path: Path) -> None:
    asked: list[Mapping[str, Any]] = []

    def presets(chosen: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
        asked.append(chosen)
        assert {"scorer", "dim", "optimiser"} <= names
        return {"dim": 4, "patience": 5, "widths": [8], "teacher": ["p"]}

    file = settings(tmp_path, "data: nations\npatience: 6\nteacher: [a]\n")
    words = ["roth", "--config", file, "--preset", "paper", "--widths", "2"]
    config = parse(WithPreset, words, "mulde train", "Train a teacher.", presets)
    assert asked == [{"data": "nations", "patience": 6, "teacher": ["a"], "preset": "paper"}]
    assert (config.dim, config.patience, config.teacher, config.widths) == (4, 6, ("a",), (2,))


def test_lists_of_the_file_are_there_when_the_class_checks_itself(tmp_path: Path) -> None:
    file = settings(tmp_path, "scorer: roth\nteacher: [a]\ncurvature: per-relation\n")
    assert parsed("--config", file).teacher == ("a",)
    with pytest.raises(ValueError, match="per-relation needs a teacher"):
        parsed("roth", "--curvature", "per-relation")


def test_written_settings_come_back(tmp_path: Path) -> None:
    config = Config("roth", teacher=("ä", "b"), patience=4, optimiser=Optimiser("adagrad", 1e-5), widths=(2,))
    path = tmp_path / "config.yaml"
    write(config, path)
    assert parsed("--config", str(path)) == config
    assert from_dict(Config, read(path)) == config
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_to_dict_is_plain() -> None:
    values = to_dict(Config("roth", teacher=("a",)))
    assert values["teacher"] == ["a"]
    assert values["folder"] == "runs"
    assert values["optimiser"] == {"name": "adam", "learning_rate": 0.5}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"scorer": "r", "dmi": 3}, 'x: no setting called "dmi"; nearest: dim; all are listed by `--help`'),
        ({"scorer": "r", "dim": "8"}, "x: `dim` should be a whole number, got '8'"),
        ({"scorer": "r", "dim": True}, "x: `dim` should be a whole number, got True"),
        ({"scorer": "r", "optimiser": {"learning_rate": True}},
         "x, optimiser: `learning_rate` should be a number, got True"),
        ({"scorer": "r", "resume": "yes"}, "x: `resume` should be true or false, got 'yes'"),
        ({"scorer": "r", "patience": "no"}, "x: `patience` should be a whole number or empty, got 'no'"),
        ({"scorer": "r", "curvature": 3}, "x: `curvature` should be one of global, per-relation, got 3"),
        ({"scorer": "r", "teacher": "a"}, "x: `teacher` should be a list (each entry a word), got 'a'"),
        ({"scorer": "r", "teacher": ["a", 1]}, "x: `teacher`, entry 2 should be a word, got 1"),
        ({"scorer": "r", "optimiser": 3}, "x: `optimiser` should be a group of settings, got 3"),
        ({"scorer": "r", "optimiser": {"learning_rate": "fast"}},
         "x, optimiser: `learning_rate` should be a number, got 'fast'"),
        ({"scorer": "r", "optimiser": {"nam": "adam"}},
         'x, optimiser: no setting called "nam"; nearest: name; all are listed by `--help`'),
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
        ("a.yaml", "- a", "a.yaml: expected lines `name: value`, got list; --help shows the names"),
        ("a.yaml", "\0", "a.yaml: expected YAML, but unacceptable character"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        read(settings(tmp_path, text, name))
    assert sentence in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a settings file, but it cannot be read"):
        parsed("--config", str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("roth --dmi 3", "--dim"),
        ("roth --curvature globl", "per-relation"),
        ("roth --dim x", "invalid literal"),
        ("", "scorer"),
        ("roth --config", "expected one argument"),
    ],
)
def test_wrong_words_end_with_code_2(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(*words.split())
    assert end.value.code == 2
    assert said in capsys.readouterr().err.lower()


@pytest.mark.parametrize("columns", [80, 100])
def test_help_fits_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as end:
        parsed("--help")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in text.splitlines()) <= columns
    for part in (
        "Train a teacher.",
        "Coordinates per entity. (default: 32)",
        "--no-resume",
        "--config FILE",
        "(repeatable)",
    ):
        assert part in text
