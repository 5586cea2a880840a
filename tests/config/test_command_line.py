"""Options, help text and error messages of one dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from mulde.config import Duration, Positional, extended, options_of, write
from mulde.config.command_line import parse
from mulde.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of things."""

    dim: int = 32
    """Coordinates per entity; 100 % of them."""
    curvature: Literal["global", "per-relation"] = "global"
    """One curvature, or one per relation."""
    patience: int | None = None
    """Epochs without progress
    before the end."""
    budget: Duration | None = None
    """Time limit."""


@dataclass(frozen=True)
class Config(Shape):
    """What to train."""

    scorer: Positional[str]
    """Which scoring function."""
    teacher: tuple[Path, ...] = ()
    """A run folder; repeat for several."""
    widths: tuple[int, ...] = (64, 48)
    """Dimensions on the way down."""
    resume: bool = True
    """Continue where the last run stopped."""
    data: str = "umls"
    """A graph."""
    preset: Literal["paper", "best"] = "best"
    """Where other defaults come from."""
    lr: float = 0.1
    """Step size. Smaller is slower."""

    def __post_init__(self) -> None:
        if self.curvature == "per-relation" and not self.teacher:
            raise ValueError("per-relation needs a teacher")


def parsed(*words: str) -> Config:
    text = "Train a teacher.\n\nExamples:\n    mulde train roth\n"
    return parse(Config, words, prog="mulde train", description=text, first=("scorer", "dim", "lr"))


def settings(tmp_path: Path, text: str, name: str = "settings.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        "roth --no-resume --dim 8",
        "--dim 8 --no-resume roth",
        "--scorer roth --dim=8 --no-resume",
        "--no-resume roth --dim 8",
    ],
)
def test_place_or_name(words: str) -> None:
    assert parsed(*words.split()) == Config(scorer="roth", resume=False, dim=8)


def test_explicit_options() -> None:
    config = parsed(
        "roth",
        "--teacher",
        "a",
        "--teacher",
        "b",
        "--patience",
        "3",
        "--lr",
        "1e-3",
        "--widths",
        "16,8",
        "--widths",
        "4",
    )
    assert config == Config("roth", teacher=(Path("a"), Path("b")), patience=3, lr=1e-3, widths=(16, 8, 4))


def test_none_takes_a_number_back(tmp_path: Path) -> None:
    assert parsed("roth", "--config", settings(tmp_path, "patience: 3"), "--patience", "none").patience is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", 'scorer = "refh"\nteacher = ["a", "b"]\nlr = 1\n'),
        ("a.yaml", "scorer: refh\nteacher: [a, b]\nlr: 1e0\n"),
    ],
)
def test_file_then_explicit_options(tmp_path: Path, name: str, text: str) -> None:
    file = settings(tmp_path, text, name)
    assert parsed("--config", file) == Config("refh", teacher=(Path("a"), Path("b")), lr=1.0)
    assert parsed("roth", f"--config={file}", "--teacher", "c") == Config("roth", teacher=(Path("c"),), lr=1.0)


def test_presets_lie_below_the_file_and_the_options(tmp_path: Path) -> None:
    calls: list[Mapping[str, Any]] = []

    def presets(chosen: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
        calls.append(chosen)
        assert {"scorer", "dim"} <= names
        return {"dim": 4, "patience": 5, "widths": [8], "teacher": ["p"]}

    file = settings(tmp_path, "data: nations\npatience: 6\nteacher: [a]\n")
    words = ["roth", "--config", file, "--preset", "paper", "--widths", "2"]
    config = parse(Config, words, "mulde train", "Train a teacher.", presets)
    assert calls == [{"data": "nations", "patience": 6, "teacher": (Path("a"),), "preset": "paper"}]
    assert (config.dim, config.patience, config.teacher, config.widths) == (4, 6, (Path("a"),), (2,))


def test_the_class_checks_itself(tmp_path: Path) -> None:
    file = settings(tmp_path, "scorer: roth\nteacher: [a]\ncurvature: per-relation\n")
    assert parsed("--config", file).teacher == (Path("a"),)
    with pytest.raises(ValueError, match="per-relation needs a teacher"):
        parsed("roth", "--curvature", "per-relation")


def test_written_settings_come_back(tmp_path: Path) -> None:
    config = Config("roth", teacher=(Path("ä"), Path("b")), patience=4, lr=1e-5, widths=(2,), resume=False)
    write(config, tmp_path / "config.yaml")
    assert parsed("--config", str(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "roth --dmi 3",
            'no option called "--dmi"; nearest: --dim; all are listed by `mulde train --help-all`',
        ),
        ("roth --rsume", 'no option called "--rsume"; nearest: --resume; all are listed by `mulde train --help-all`'),
        ("roth --no-rsume", 'no option called "--no-rsume"; nearest: --no-resume, --resume; all are listed by '
        "`mulde train --help-all`"),
        ("roth --zzz", 'no option called "--zzz"; there are --budget, --config, --curvature, --data, --dim, --help, '
        "--help-all, --lr, --patience, --preset, --resume, --scorer, --teacher, --widths; all are listed by "
        "`mulde train --help-all`"),
        ("roth --curvature globl", "mulde train: --curvature: should be one of global, per-relation, got 'globl'"),
        ("roth --dim x", "mulde train: --dim: should be a whole number, got 'x'"),
        ("roth --lr fast", "mulde train: --lr: should be a number, got 'fast'"),
        ("roth --patience x", "mulde train: --patience: should be a whole number or empty, got 'x'"),
        ("roth --dim", "mulde train: --dim: expected one argument"),
        ("", "mulde train needs SCORER: Which scoring function. See `mulde train --help`."),
        ("roth refh", 'mulde train: unexpected word "refh"; options begin with --, see `mulde train --help`'),
        ("roth --config", "mulde train: --config: expected one argument"),
        ("roth --config none.yaml", "none.yaml: expected a settings file, but it cannot be read "
         "([Errno 2] No such file or directory: 'none.yaml')"),
    ],
)  # fmt: skip
def test_wrong_words(words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        parsed(*words.split())
    assert str(error.value) == message


def test_a_wrong_value_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = settings(tmp_path, "dim: x")
    with pytest.raises(UsageError) as error:
        parsed("roth", "--config", file)
    assert str(error.value) == f"{file}: `dim` should be a whole number, got 'x'"


FULL = """\
usage: mulde train SCORER [OPTIONS]

Train a teacher.

Examples:
    mulde train roth

What to train:
  SCORER                  Which scoring function. (required)
  --teacher PATH          A run folder; repeat for several.
  --widths N,N,...        Dimensions on the way down. (default: 64, 48)
  --[no-]resume           Continue where the last run stopped. (default: yes)
  --data DATA             A graph. (default: umls)
  --preset {paper,best}   Where other defaults come from. (default: best)
  --lr X                  Step size. Smaller is slower. (default: 0.1)
  --config FILE           TOML or YAML file with values for these options.
  -h, --help, --help-all  Show the most important options, or all of them.

The shape of things:
  --dim N                 Coordinates per entity; 100 % of them. (default: 32)
  --curvature {global,per-relation}
                          One curvature, or one per relation. (default:
                          global)
  --patience N            Epochs without progress before the end.
  --budget TIME           Time limit.
"""
SHORT = """\
usage: mulde train SCORER [OPTIONS]

Train a teacher.

Options:
  SCORER                  Which scoring function. (required)
  --dim N                 Coordinates per entity; 100 % of them. (default: 32)
  --lr X                  Step size. (default: 0.1)
  --help-all              Show all options in full, in groups.

Examples:
    mulde train roth
"""


@pytest.mark.parametrize(
    ("words", "text"),
    [("--help-all", FULL), ("--help", SHORT), ("-h", SHORT), ("--no-such x --help", SHORT)],
)
def test_help(words: str, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        parsed(*words.split())
    assert end.value.code == 0
    assert capsys.readouterr().out == text


def test_the_default_help_has_the_first_ten(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Config, ["--help"], "mulde train", "Train a teacher.")
    text = capsys.readouterr().out
    assert "--patience" in text and "--budget" not in text and "--help-all" in text


def test_help_all_has_the_whole_description(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["--help-all"]):
        with pytest.raises(SystemExit):
            parse(Shape, words, "mulde shape", "A shape.\n\nMore about it.")
    short, full = capsys.readouterr().out.split("usage: ")[1:]
    assert "A shape." in short and "More about it." not in short
    assert "A shape.\n\nMore about it." in full and "--config FILE" in full


def test_help_shows_the_defaults_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["--help-all", "--preset", "paper"]):
        with pytest.raises(SystemExit):
            parse(Config, words, "mulde train", "Train.", lambda chosen, names: {"dim": 4 * len(chosen)}, ("dim",))
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines() if "--dim" in line] == ["0)", "4)"]


@dataclass(frozen=True)
class Cooling:
    """How it cools."""

    rate: float = 0.5
    """Degrees per second."""


def with_cooling(chosen: Mapping[str, Any]) -> type[Config]:
    return extended(Config, options=Cooling) if chosen.get("scorer") == "cold" else Config


def test_one_option_decides_about_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def cooled(*words: str) -> Any:
        return parse(Config, words, "mulde train", "Train.", compose=with_cooling)

    assert cooled("cold", "--rate", "2", "--dim", "4").options == Cooling(2.0)
    assert cooled("--config", settings(tmp_path, "scorer: cold\nrate: 3\n")).options == Cooling(3.0)
    assert cooled("warm") == Config("warm")
    with pytest.raises(UsageError, match='no option called "--rate"'):
        cooled("warm", "--rate", "2")
    for words in (["cold", "--help"], ["cold", "--help-all"]):
        with pytest.raises(SystemExit):
            cooled(*words)
    short, full = capsys.readouterr().out.split("usage: ")[1:]
    assert "--rate" not in short
    assert "\nHow it cools:\n  --rate X                Degrees per second. (default: 0.5)\n" in full


def test_a_part_with_other_defaults() -> None:
    quick = extended(Config, options=Cooling(rate=9.0))
    assert parse(quick, ["roth"], "mulde train", "Train.").options == Cooling(9.0)  # type: ignore[attr-defined]
    assert {option.name: option.default for option in options_of(quick)}["rate"] == 9.0


@pytest.mark.parametrize(("word", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("90", 90), ("none", None)])
def test_durations(word: str, seconds: float | None, tmp_path: Path) -> None:
    assert parsed("roth", "--budget", word).budget == seconds
    file = settings(tmp_path, f"budget: {'null' if word == 'none' else word}\n")
    assert parsed("roth", "--config", file).budget == seconds


def test_no_duration() -> None:
    with pytest.raises(UsageError, match="--budget: should be a duration such as 90s, 10m or 2h or empty, got 'soon'"):
        parsed("roth", "--budget", "soon")


def test_options() -> None:
    options = {option.name: option for option in options_of(Config)}
    assert [options[name].spelling for name in ("scorer", "widths", "resume", "budget")] == [
        "SCORER", "--widths N,N,...", "--[no-]resume", "--budget TIME",
    ]  # fmt: skip
    assert options["resume"].words == ("--resume", "--no-resume")
    assert (options["dim"].default, options["dim"].group) == (32, "The shape of things")
    assert options["patience"].about == "Epochs without progress before the end."
