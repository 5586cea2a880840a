"""`mulde stream`: results, output, stopping and continuing, messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mulde.vision.storage.student import open_student
from tests.cli.conftest import Command
from tests.vision.toys import toy_video
from tests.vision.video.test_labelled import pictures

OPTIONS = ("--width", "0.0625", "--stride-min", "4", "--stride-max", "8", "--max-updates", "2", "--threads", "1")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A command line with fifteen pictures and the true class maps as teacher."""
    video = toy_video()
    frames, masks = pictures(tmp_path / "frames", video.images[:15]), pictures(tmp_path / "masks", video.labels[:15])
    out = ("--out", str(tmp_path / "out"))
    return ["stream", str(frames), "--teacher", str(masks), "--classes", "3", *OPTIONS, *out]


def test_a_stream_of_pictures(tmp_path: Path, words: list[str], command: Command) -> None:
    output = command(*words, "--no-write-video", "--json")
    assert output.code == 0
    found: dict[str, Any] = json.loads(output.out)
    assert found["frames"] == 15 and found["teacher_queries"] == 4 and found["updates"] == 8
    assert found["frames_per_second"] == pytest.approx(15 / found["seconds"])
    assert found["frames_per_second_without_teacher"] > found["frames_per_second"]
    out = tmp_path / "out"
    kept = {"model.json", "model.safetensors", "summary.json"}
    assert {path.name for path in out.iterdir()} == {".lock", ".lock.holder", "classes", "fit", *kept}
    student = open_student(out)
    assert (student.task, len(student.classes)) == ("segment", 3)
    assert len(list((out / "classes").glob("*.png"))) == 15 and (out / "fit/final.safetensors").exists()
    again = command(*words, "--no-write-video")
    assert "finished before and reused" in again.err
    assert again.out.splitlines()[1:] == [
        "4 teacher queries, one in 3.8 frames; 8 updates",
        f"mean IoU with the teacher {found['iou_before_training']:.4f} before training on a queried frame, "
        f"{found['iou_after_training']:.4f} after it",
        f"student, classes and video: {out}",
    ]
    assert again.out.startswith("15 frames in ") and " frames per second, " in again.out

    other = command(*words, "--no-write-video", "--target", "0.5")
    assert other.code == 2
    assert other.err.endswith("give another --out, or the old settings:\n  target: was 0.8, is 0.5\n")
    start = ["--init-weights", str(out / "fit/final.safetensors"), "--out", str(tmp_path / "next")]
    assert command(*words, "--no-write-video", *start).code == 0
    wrong = command(*words, "--no-write-video", *start[:2], "--width", "0.125", "--out", str(tmp_path / "third"))
    assert wrong.code == 2 and "--classes and --width must be those of the stream that wrote it" in wrong.err


def test_stopped_by_its_budget_and_continued(tmp_path: Path, words: list[str], command: Command) -> None:
    """The first call ends after one update; the second ends with the same files as an uninterrupted one."""
    whole = json.loads(command(*words, "--no-write-video", "--json", "--out", str(tmp_path / "whole")).out)
    first = command(*words, "--no-write-video", "--budget", "0.000001")
    assert first.code == 0 and first.out == "" and "s at frame 0; the same command continues" in first.err
    assert not (tmp_path / "out/summary.json").exists()
    found = json.loads(command(*words, "--no-write-video", "--json").out)
    for name in ("frames", "teacher_queries", "updates", "iou_before_training", "iou_after_training"):
        assert found[name] == whole[name]
    for place in ("fit/final.safetensors", "classes/000011.png"):
        assert (tmp_path / "out" / place).read_bytes() == (tmp_path / "whole" / place).read_bytes()


TEACHER = "import numpy as np\ndef bright(image):\n    return (image.mean(2) > image.mean()).astype(np.int64)\n"


def test_a_video_file_with_a_function_as_teacher(tmp_path: Path, command: Command) -> None:
    pytest.importorskip("av")
    from mulde.vision.video.reading import open_video
    from mulde.vision.video.side_by_side import write_side_by_side

    write_side_by_side(tmp_path / "in.mp4", toy_video(), lambda number: np.zeros((40, 40), np.int64), set())
    (tmp_path / "mine.py").write_text(TEACHER)
    out = ("--out", str(tmp_path / "out"))
    output = command("stream", tmp_path / "in.mp4", "--teacher", f"{tmp_path / 'mine.py'}:bright", *OPTIONS, *out)
    assert output.code == 0 and output.out.startswith("30 frames in ")
    written = list(open_video(tmp_path / "out/side_by_side.mp4").frames())
    assert len(written) == 30 and written[0].shape == (40, 160, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--classes", "1"], "--classes: should be a whole number of at least 2 and at most 256, got 1"),
        (["--classes", "2"], "but there are 2 classes, counted from 0; say how many with --classes"),
        (["--height", "0"], "--height: should be a whole number of at least 1"),
        (["--height", "20"], "JITNet halves its maps five times; frames need more than 32 pixels, got 20x20"),
        (["--stride-max", "2"], "strides are counted in frames and need 1 <= least <= largest; got 4 to 2"),
        (
            ["--init-weights", "no.safetensors"],
            "--init-weights no.safetensors: does not exist; name the final.safetensors",
        ),
        (["--teacher", "nobody"], "--teacher nobody: expected module:function, file.py:function or a folder"),
    ],
)
def test_messages(words: list[str], command: Command, changes: list[str], message: str) -> None:
    output = command(*words, "--no-write-video", *changes)
    assert output.code == 2 and output.out == "" and message in output.err


def test_without_pyav_there_is_advice(tmp_path: Path, words: list[str], command: Command, monkeypatch: Any) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "av", None)
    output = command("stream", tmp_path / "film.mp4", *words[2:])
    assert output.code == 2
    assert output.err == (
        "mulde: video files are read and written with PyAV; install it with `pip install mulde[video]`\n"
    )


def test_a_summary_of_something_else_is_kept(tmp_path: Path, words: list[str], command: Command) -> None:
    mine = tmp_path / "out/summary.json"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    output = command(*words, "--out", tmp_path / "out")
    assert output.code == 2 and "found summary.json of something else" in output.err and mine.read_text() == "mine"
