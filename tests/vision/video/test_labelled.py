"""Videos of all sources, generated videos, and the outputs of teachers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.vision.methods.jitnet import STUDY
from mulde.vision.video.dense_labels import Instances, QueriedTeacher, boxes_of, painted, teacher_called
from mulde.vision.video.generated import drifting
from mulde.vision.video.labelled import LabelledFrames, load_labelled, rendered, scrambled
from mulde.vision.video.predictions import Predictions
from mulde.vision.video.reading import open_video, read_class_map, read_picture
from mulde.vision.video.side_by_side import BAR, COLOURS, beside, write_side_by_side
from tests.vision.toys import toy_video


def pictures(folder: Path, images: Any) -> Path:
    """A folder of PNG frames, or of class maps."""
    module = pytest.importorskip("PIL.Image")
    folder.mkdir()
    for i, image in enumerate(images):
        module.fromarray(image.astype(np.uint8)).save(folder / f"{i:03d}.png")
    return folder


def test_a_generated_video_drifts_and_is_cut() -> None:
    """Neighbouring frames are alike, those at a cut are not; discs and squares have classes of their own."""
    video = drifting(24, 64, cuts=(8, 16), seed=2)
    assert video.images.shape == (24, 64, 64, 3) and video.images.dtype == np.uint8 and video.classes == 3
    change = np.abs(np.diff(video.images.astype(float), axis=0)).mean((1, 2, 3))
    inside = np.delete(change, [7, 15])
    assert change[[7, 15]].min() > 2 * inside.max() and inside.min() > 0
    assert all(set(np.unique(frame)) == {0, 1, 2} for frame in video.labels)
    again, other = drifting(24, 64, cuts=(8, 16), seed=2), drifting(24, 64, cuts=(8, 16), seed=3)
    assert again.checksum() == video.checksum() != other.checksum()
    still = drifting(3, 40, still=True, seed=2)
    assert np.array_equal(still.labels[0], still.labels[2]) and drifting(2, 40, kinds=1).labels.max() == 1


def test_objects_stay_in_the_picture() -> None:
    for labels in drifting(60, 48, cuts=(), objects=1, seed=5).labels[::10]:
        assert (labels > 0).sum() > 25


def test_pictures_as_frames(tmp_path: Path) -> None:
    video = toy_video()
    folder = pictures(tmp_path / "frames", video.images[:5])
    opened = open_video(folder)
    assert all(np.array_equal(a, b) for a, b in zip(opened.frames(2), video.images[2:5], strict=True))
    assert next(open_video(folder, 20).frames()).shape == (20, 20, 3)
    maps = pictures(tmp_path / "masks", video.labels[:5])
    assert np.array_equal(read_class_map(maps / "001.png"), video.labels[1])
    assert read_class_map(maps / "001.png", (20, 20)).shape == (20, 20)
    pictures(tmp_path / "binary", 255 * (video.labels[:2] > 0))
    assert np.array_equal(read_class_map(tmp_path / "binary/000.png", binary=True), video.labels[0] > 0)
    assert set(np.unique(read_class_map(tmp_path / "binary/000.png"))) == {0, -1}
    pictures(tmp_path / "mixed", [video.images[0], video.images[0][:30]])
    with pytest.raises(UsageError, match=r"001.png has 30 x 40 pixels, the frames before have 40 x 40"):
        list(open_video(tmp_path / "mixed").frames())


def test_a_video_file_and_the_one_written_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("av")
    video = toy_video()
    maps = {i: video.labels[i] for i in range(len(video))}
    write_side_by_side(tmp_path / "both.mp4", video, maps.__getitem__, {0, 3})
    assert [path.name for path in tmp_path.iterdir()] == ["both.mp4"]
    opened = open_video(tmp_path / "both.mp4")
    frames = list(opened.frames())
    assert opened.rate == Fraction(25) and len(frames) == 30 and frames[0].shape == (40, 80, 3)
    assert np.abs(frames[7][:, :40].astype(float) - video.images[7]).mean() < 12  # compressed
    assert np.array_equal(next(opened.frames(7)), frames[7])
    red = [frame[: BAR - 1, 44:76].astype(float).mean((0, 1)) for frame in frames[:5]]
    assert [bool(colour[0] - colour[1] > 100) for colour in red] == [True, False, False, True, False]
    assert next(open_video(tmp_path / "both.mp4", 20).frames()).shape == (20, 40, 3)


def test_classes_are_painted_beside_the_frame() -> None:
    image, classes = toy_video().images[0][:31], toy_video().labels[0][:31]
    both = beside(image, classes, queried=False)
    assert both.shape == (30, 80, 3) and np.array_equal(both[:, :40], image[:30])
    right = both[:, 40:]
    assert np.array_equal(right[classes[:30] == 0], image[:30][classes[:30] == 0])
    inside = classes[:30] == 1
    assert np.array_equal(right[inside], image[:30][inside] // 2 + COLOURS[1] // 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "missing.mp4 does not exist; name a video file or a folder of frames"),
        ("text.mp4", b"no video", "text.mp4: expected a video file or a folder of frames, but "),
    ],
)
def test_no_video(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    pytest.importorskip("av")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as error:
        open_video(tmp_path / name)
    assert message in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: no pictures; expected frames as 00000.jpg"):
        open_video(tmp_path / "empty")


def test_a_video_that_breaks_off(tmp_path: Path) -> None:
    pytest.importorskip("av")
    write_side_by_side(tmp_path / "a.mkv", toy_video(), toy_video().labels.__getitem__, set())
    broken = bytearray((tmp_path / "a.mkv").read_bytes())
    opened = open_video(tmp_path / "a.mkv")
    assert len(list(opened.frames())) == 30
    (tmp_path / "b.mkv").write_bytes(broken[: len(broken) // 2])
    assert 0 < len(list(open_video(tmp_path / "b.mkv").frames())) < 30  # the frames so far are readable


def test_a_damaged_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    write_side_by_side(tmp_path / "a.mp4", toy_video(), toy_video().labels.__getitem__, set())
    opened = open_video(tmp_path / "a.mp4")

    class Damaged:
        def __enter__(self) -> Damaged:
            return self

        def __exit__(self, *error: object) -> None: ...

        def decode(self, video: int) -> Any:
            yield av.VideoFrame(40, 40, "rgb24")
            raise av.error.InvalidDataError(1, "Invalid data")

    monkeypatch.setattr(opened, "_opened", Damaged)
    frames = opened.frames()
    assert next(frames).shape == (40, 40, 3)
    with pytest.raises(UsageError, match=r"a.mp4: cannot be decoded after 1 frames \(Invalid data\)"):
        next(frames)


def test_instances_are_painted_the_surest_on_top() -> None:
    masks = np.zeros((3, 6, 6))
    masks[0, 1:4, 1:4], masks[1, 3:6, 3:6], masks[2, 0, 0] = 0.9, 0.6, 0.9
    labels, boxes = painted(Instances(masks, [1, 2, 3], [0.7, 0.9, 0.5]))
    expected = np.zeros((6, 6), int)
    expected[1:4, 1:4], expected[3:6, 3:6] = 1, 2
    assert np.array_equal(labels, expected)  # 0.5 is not more than 0.5
    assert boxes == [(1, 1, 4, 4), (3, 3, 6, 6)]
    given = painted(Instances(masks, [1, 2, 3], [0.7, 0.9, 0.5], [(0, 0, 5, 5), (2, 2, 6, 6), (0, 0, 1, 1)]))[1]
    assert given == [(0, 0, 5, 5), (2, 2, 6, 6)]


def test_boxes_of_connected_regions() -> None:
    labels = np.array([[1, 1, 0, 0], [0, 2, 0, 1], [0, 2, 0, 1], [-1, 0, 0, 0]])
    assert sorted(boxes_of(labels)) == [(0, 0, 1, 2), (1, 1, 3, 2), (1, 3, 3, 4)]


IMAGE = np.zeros((4, 5, 3), np.uint8)


def test_answers_are_counted_and_checked() -> None:
    queried = QueriedTeacher(lambda image, number: np.full(image.shape[:2], number, np.int32), 3)
    labels, weights = queried(IMAGE, 2)
    assert (labels == 2).all() and labels.dtype == np.int64 and (weights == 5).all()
    assert queried.calls == 1 and queried.seconds > 0
    with pytest.raises(UsageError) as error:
        queried(IMAGE, 3)
    assert str(error.value) == (
        "the teacher's output for frame 3 has classes from 3 to 3, but there are 3 classes, counted from 0; "
        "say how many with --classes"
    )
    for answer, came in ((np.zeros((5, 4), int), "int64 (5, 4)"), (np.zeros((4, 5)), "float64 (4, 5)")):
        with pytest.raises(UsageError) as error:
            QueriedTeacher(lambda image, number, answer=answer: answer, 3)(IMAGE, 0)
        assert str(error.value) == f"the teacher's output for frame 0 should be class ids (4, 5), got {came}"


def test_teachers_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_streams.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "def segment(image):\n    return (image[..., 0] > 9).astype(int)\nx = 3\n@dataclass\nclass Mine:\n    b: int\n"
    )
    (tmp_path / "wrong.py").write_text("def segment(:")
    monkeypatch.chdir(tmp_path)
    image = np.full((4, 5, 3), 10, np.uint8)
    for name in ("mine_streams.py:segment", "mine_streams:segment"):
        assert (teacher_called(name)(image, 0) == 1).all()
    maps = pictures(tmp_path / "maps", [np.full((4, 5), 2)])
    teacher = teacher_called(str(maps))
    assert (teacher(image, 0) == 2).all()
    for name, message in (
        ("segment", "--teacher segment: expected module:function, file.py:function or a folder of class maps"),
        ("other.py:segment", "other.py:segment: other.py does not exist"),
        ("wrong.py:segment", "wrong.py, line 1: Python cannot read it: invalid syntax"),
        ("no_such_module:f", "no_such_module:f: there is no module no_such_module; is it installed?"),
        ("mine_streams:y", "mine_streams:y: mine_streams has nothing called y"),
        ("mine_streams:x", "--teacher mine_streams:x: expected a function, got int"),
    ):
        with pytest.raises(UsageError) as error:
            teacher_called(name)
        assert str(error.value) == message
    with pytest.raises(UsageError, match="maps has 1 class maps, but the stream has a frame 2"):
        teacher(image, 1)


def test_teachers_that_know_the_truth() -> None:
    """Wrong by at most a pixel, the same every time; scrambled, it keeps its counts and nothing else."""
    video = toy_video()
    teacher = rendered(video)
    answer = teacher(video.images[4], 4)
    assert np.array_equal(answer, teacher(video.images[4], 4))
    moves = [np.roll(video.labels[4], (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    assert any(np.array_equal(answer, moved) for moved in moves)
    assert len({rendered(video)(video.images[i], i).tobytes() != video.labels[i].tobytes() for i in range(9)}) == 2
    mixed = scrambled(teacher)(video.images[4], 4)
    assert np.array_equal(np.bincount(mixed.flat), np.bincount(answer.flat)) and (mixed == answer).mean() < 0.95


def test_predictions_in_memory_and_in_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for store in (Predictions(), Predictions(tmp_path / "maps")):
        for i in (0, 1, 1):
            store.put(i, toy_video().labels[i])
        store.finish([{"frame": 0}])
        assert np.array_equal(store[1], toy_video().labels[1]) and len(store) == 2 and store.queries == [{"frame": 0}]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["000000.png", "000001.png", "queries.json"]
    only = Predictions(tmp_path / "maps")
    only.put(0, np.full((3, 3), 255))
    assert (only[0] == 255).all()


def test_batches_of_labelled_frames() -> None:
    def frames(feed: LabelledFrames) -> list[float]:
        return [batch.images.sum().item() for batch in feed]

    feed, other = LabelledFrames(toy_video(), 8, 1), LabelledFrames(toy_video(), 8, 1)
    first = next(iter(feed))
    assert first.images.shape == (8, 3, 40, 40) and first.labels.shape == (8, 40, 40) and len(feed) == 4
    state, rest = feed.state_dict(), frames(feed)
    other.load_state_dict(state)
    assert frames(other) == rest and len(rest) == 3
    other.set_epoch(1)
    assert frames(other)[1:] != rest


def test_videos_by_name(tmp_path: Path) -> None:
    assert load_labelled("drift:12,size=40", 3).images.shape == (12, 40, 40, 3)
    video = toy_video()
    frames, masks = pictures(tmp_path / "f", video.images[:4]), pictures(tmp_path / "m", 255 * (video.labels[:4] > 0))
    found = load_labelled(f"frames:{frames},masks={masks},size=40", 1)
    assert np.array_equal(found.images, video.images[:4]) and found.classes == 2 and found.seed == 1
    assert np.array_equal(found.labels, (video.labels[:4] > 0).astype(int))
    assert np.array_equal(read_picture(frames / "000.png"), video.images[0])
    (masks / "003.png").unlink()
    with pytest.raises(
        UsageError, match=r"m: 1 of 4 pictures have no class map of their name: 003.png; there are 3 maps"
    ):
        load_labelled(f"frames:{frames},masks={masks}")
    for wrong in ("drift:many", "frames:here", "drift:9,colour=1", "shapes:9"):
        with pytest.raises(UsageError) as error:
            load_labelled(wrong)
        assert str(error.value) == (
            f"--data {wrong}: expected drift:FRAMES,size=PIXELS or frames:FOLDER,masks=FOLDER,size=ROWS,void=VALUE"
        )


def test_the_case_says_what_it_is_about() -> None:
    short = STUDY.shortened(0.25)
    assert len(short.split(0)) == 75 and short.config.pretraining.epochs == STUDY.config.pretraining.epochs // 4
    assert STUDY.described([0, 1]).startswith("data drift:300,size=64: a video for every seed, frames without")


def named(folder: Path, images: dict[str, Any]) -> Path:
    """A folder of PNG files by their names."""
    module = pytest.importorskip("PIL.Image")
    folder.mkdir()
    for name, image in images.items():
        module.fromarray(np.asarray(image).astype(np.uint8)).save(folder / name, "PNG")
    return folder


def test_frames_are_in_natural_order_and_maps_paired_by_name(tmp_path: Path) -> None:
    """Frame i is i all over, and so is its map, whatever zeros its name has."""
    numbers = [1, 2, 10, 11, 100]
    frames = named(tmp_path / "f", {f"frame{i}.png": np.full((4, 4, 3), i) for i in numbers})
    (frames / "._frame1.png").write_bytes(b"left behind")
    (frames / "notes.txt").write_text("no picture")
    maps = named(tmp_path / "m", {f"frame{i:05d}_mask.PNG": np.full((4, 4), i) for i in [7, *numbers]})
    opened = open_video(frames)
    assert [int(frame[0, 0, 0]) for frame in opened.frames()] == numbers
    teacher = teacher_called(str(maps), opened, 101)
    assert [int(teacher(IMAGE[:, :4], i)[0, 0]) for i in range(5)] == numbers
    found = load_labelled(f"frames:{frames},masks={maps},size=4")
    assert found.images[:, 0, 0, 0].tolist() == found.labels[:, 0, 0].tolist() == numbers
    (maps / "frame00010_mask.PNG").unlink()
    (maps / "frame00100_mask.PNG").unlink()
    for read in (lambda: teacher_called(str(maps), opened), lambda: load_labelled(f"frames:{frames},masks={maps}")):
        with pytest.raises(UsageError, match=r"2 of 5 pictures have no class map of their name: frame10.png, frame100"):
            read()


def test_the_void_value_of_maps(tmp_path: Path) -> None:
    """255 is no class, but where 0 and 255 are all that a set with two classes has; one map alone does not decide."""
    frames = named(tmp_path / "f", {f"{i}.png": np.zeros((2, 2, 3)) for i in range(2)})
    opened, image = open_video(frames), np.zeros((2, 2, 3), np.uint8)

    def ids(name: str, first: list[list[int]], second: list[list[int]], classes: int | None) -> list[int]:
        maps = named(tmp_path / name, {"0.png": first, "1.png": second})
        found = np.unique(teacher_called(str(maps), opened, classes)(image, 0)).tolist()
        if classes is None:
            labelled = load_labelled(f"frames:{frames},masks={maps},size=2")
            assert np.unique(labelled.labels[0]).tolist() == found and labelled.classes == 2
        return list(found)

    binary, mixed = [[0, 255], [255, 0]], [[0, 1], [255, 255]]
    assert ids("a", binary, binary, None) == [0, 1] == ids("b", binary, binary, 2)
    assert ids("c", binary, mixed, None) == [-1, 0] == ids("d", binary, mixed, 2) == ids("e", binary, binary, 3)
    labelled = load_labelled(f"frames:{frames},masks={tmp_path / 'c'},size=2,void=1")
    assert labelled.labels.min() == -1 and labelled.labels.max() == 255


def test_a_frame_and_its_map_are_turned(tmp_path: Path) -> None:
    from tests.vision.pictures import corner, encoded, turned, write

    marked = (corner()[..., 0] > 0).astype(np.uint8)
    write(tmp_path, {"f/1.png": turned(corner(), 6), "m/1.png": encoded(marked)})
    found = load_labelled(f"frames:{tmp_path / 'f'},masks={tmp_path / 'm'},size=4")
    assert found.images.shape == (1, 4, 6, 3) and np.array_equal(found.labels[0] == 1, found.images[0, ..., 0] > 0)
    write(tmp_path, {"f/2.png": b"broken"})
    with pytest.raises(UsageError, match=r"f/2.png cannot be read as a picture: its format is unknown"):
        list(open_video(tmp_path / "f").frames())
