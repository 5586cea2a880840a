"""Folders and archives of pictures as people have them: parts, classes, what is left out, and sizes."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from mulde.errors import UsageError
from mulde.vision.data import load
from mulde.vision.data.found import described
from mulde.vision.data.images import ImageSet
from mulde.vision.data.layouts import part_of
from mulde.vision.data.splitting import split
from tests.vision.pictures import corner, plain, turned, write

PLAIN = plain()


def of(path: Path, *names: str) -> ImageSet:
    """The set of pictures of these names; a name that ends with / is an empty folder."""
    for name in names:
        (path / name).mkdir(parents=True) if name.endswith("/") else write(path, {name: PLAIN})
    return load(f"folder:{path}")


def table(images: ImageSet) -> dict[tuple[str, str], int]:
    """Number of pictures of each part and class."""
    parts = images.parts or ("",) * len(images)
    return dict(Counter(zip(parts, (images.classes[i] for i in images.labels.tolist()), strict=True)))


CATS = {("", "cat"): 2, ("", "dog"): 1}
PARTS = {("train", "cat"): 1, ("train", "dog"): 1, ("valid", "cat"): 1, ("test", "dog"): 1}
FLAT = ("cat/1.png", "cat/2.JPG", "dog/1.Tiff")
LAYOUTS: dict[str, tuple[tuple[str, ...], dict[tuple[str, str], int]]] = {
    "classes": (FLAT, CATS),
    "around everything": (tuple(f"data/my pets/{name}" for name in FLAT), CATS),
    "containers": (("cat/images/1.png", "cat/images/2.png", "dog/images/1.png"), CATS),
    "a container around": (tuple(f"images/{name}" for name in FLAT), CATS),
    "left behind": (
        (
            *FLAT,
            "cat/._1.png",
            ".ipynb_checkpoints/1-checkpoint.png",
            "__MACOSX/cat/._1.png",
            ".thumbs/1.png",
            "dog/.ipynb_checkpoints/1.png",
            "@eaDir/cat/1.png",
            "x.png",
        ),
        CATS,
    ),
    "parts": (("train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "test/dog/4.png"), PARTS),
    "other words": (("Training/cat/1.png", "Training/dog/2.png", "Validation/cat/3.png", "Testing/dog/4.png"), PARTS),
    "sets": (("train_set/cat/1.png", "train_set/dog/2.png", "dev_set/cat/3.png", "test-set/dog/4.png"), PARTS),
    "doubled": (
        (
            "seg_train/seg_train/cat/1.png",
            "seg_train/seg_train/dog/2.png",
            "val/cat/3.png",
            "seg_test/seg_test/dog/4.png",
            "seg_pred/seg_pred/5.png",
        ),
        PARTS,
    ),
    "around parts": (("x/train/cat/1.png", "x/train/dog/2.png", "x/valid/cat/3.png", "x/test2017/dog/4.png"), PARTS),
    "parts inside classes": (("cat/train/1.png", "dog/train/2.png", "cat/val/3.png", "dog/test/4.png"), PARTS),
    "flat validation": (
        ("train/cat/1.png", "train/dog/2.png", "val/3.png", "test/images/4.png"),
        {("train", "cat"): 1, ("train", "dog"): 1},
    ),
    "beside parts": (
        ("train/cat/1.png", "train/dog/2.png", "docs/figure.png"),
        {("train", "cat"): 1, ("train", "dog"): 1},
    ),
    "classes called train": (("train/1.png", "bus/2.png", "car/3.png"), {("", n): 1 for n in ("train", "bus", "car")}),
    "strange names": (
        ("ça va/1.png", "猫 and dog/a b.png", "x,y=z/3.png"),
        {("", n): 1 for n in ("ça va", "猫 and dog", "x,y=z")},
    ),
    "folders in classes": (("cat/2020/1.png", "cat/2021/2.png", "dog/2020/3.png"), CATS),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    names, expected = LAYOUTS[name]
    found = of(tmp_path, *names)
    assert table(found) == expected
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:  # with folders and backslashes, as other systems write
        for each in names:
            archive.writestr(each.replace("/", "\\"), PLAIN)
        archive.writestr("cat/", "")
    assert table(load(f"zip:{tmp_path / 'all.zip'}")) == expected
    assert split(found, 0, valid=False).train.classes == found.classes if len(found) > 4 else True


def test_tiny_imagenet(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    names = (
        "train/n01/images/n01_0.JPEG",
        "train/n02/images/n02_0.JPEG",
        "val/images/val_0.JPEG",
        "val/images/val_1.JPEG",
        "val/images/val_2.JPEG",
        "test/images/test_0.JPEG",
    )
    write(root, dict.fromkeys(names, PLAIN))
    write(root, {"val/val_annotations.txt": b"val_0.JPEG\tn02\t0\t0\t3\t3\nval_1.JPEG\tn01\t0\t0\t3\t3\n"})
    write(root, {"train/n01/n01_boxes.txt": b"n01_0.JPEG\t0\t0\t3\t3\n"})
    for place in (root, tmp_path):
        found = load(f"folder:{place}")
        assert table(found) == {(part, name): 1 for part in ("train", "valid") for name in ("n01", "n02")}
    assert found.labels[found.parts.index("valid")] == 1  # val_0
    assert "2 pictures without a class left out: " in described(found)


def test_what_was_found_is_described(tmp_path: Path) -> None:
    write(tmp_path, {"cat/photo.heic": b"?", "cat/notes.txt": b"", "cat/3.png": turned(corner(12, 20), 6)})
    found = of(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "owl/", "x.png")
    assert described(found).splitlines() == [
        "4 images of 8 x 8 pixels, colour",
        "2 classes: cat 3, dog 1 images",
        "1 .heic file is not read",
        "1 picture without a class left out: x.png",
        "folders without pictures are no classes: owl",
        "pictures of 4 x 4 to 20 x 12 pixels are brought to 8 x 8; size=N gives another size",
        "1 picture turned upright by the EXIF orientation",
    ]
    assert load(f"folder:{tmp_path},size=12,grey=1").images.shape == (4, 1, 12, 12)
    assert "1 class: cat 1 images" in described(of(tmp_path / "c", "cat/1.png"))
    assert "parts: train 2" in described(of(tmp_path / "b", "train/cat/1.png", "train/dog/1.png"))


def test_the_folder_that_is_the_class(tmp_path: Path) -> None:
    write(
        tmp_path, dict.fromkeys(("photo/cat/1.png", "photo/dog/1.png", "sketch/cat/1.png", "sketch/dog/1.png"), PLAIN)
    )
    found = load(f"folder:{tmp_path}")
    assert found.classes == ("photo", "sketch") and "classes=inner" in described(found)
    assert load(f"folder:{tmp_path},classes=inner").classes == ("cat", "dog")
    assert len(load(f"folder:{tmp_path},classes=path").classes) == 4
    with pytest.raises(UsageError, match="classes is one of outer, inner, path, got first"):
        load(f"folder:{tmp_path},classes=first")


def test_links_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path / "real", {"1.png": PLAIN, "2.png": PLAIN})
    root = write(tmp_path / "set", {"dog/1.png": PLAIN})
    (root / "cat").symlink_to(tmp_path / "real", target_is_directory=True)
    (root / "dog/2.png").symlink_to(tmp_path / "real/1.png")
    (root / "dog/again").symlink_to(root, target_is_directory=True)  # a circle
    assert table(load(f"folder:{root}")) == {("", "cat"): 2, ("", "dog"): 2}
    (root / "cat/gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"gone.png cannot be read as a picture: No such file or directory; repair"):
        load(f"folder:{root}")


@pytest.mark.parametrize("size", ["", ",size=4"])
def test_broken_pictures_are_skipped_on_demand(tmp_path: Path, size: str) -> None:
    root = write(
        tmp_path, dict.fromkeys(("a/1.png", "a/2.png", "b/1.png"), PLAIN) | {"b/2.png": b"", "b/3.png": PLAIN[:50]}
    )
    with pytest.raises(
        UsageError, match=r"b/2.png cannot be read as a picture: the file is empty; .*:PATH,skip-broken=1"
    ):
        load(f"folder:{root}{size}")
    for found in (load(f"folder:{root}{size},skip-broken=1"), load(f"folder:{root}{size}", skip_broken=True)):
        assert table(found) == {("", "a"): 2, ("", "b"): 1}
        assert found.notes == ("2 pictures that cannot be read left out: b/2.png, b/3.png",)
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (root / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"none of 5 pictures can be read: a/1.png"):
        load(f"folder:{root}{size},skip-broken=1")


def test_default_sizes(tmp_path: Path) -> None:
    same = write(tmp_path / "same", dict.fromkeys(("a/1.png", "b/1.png"), plain(1, (224, 160))))
    assert load(str(same)).images.shape == (2, 3, 160, 224) and load(str(same)).notes == ()
    large = write(tmp_path / "large", dict.fromkeys(("a/1.png", "b/1.png"), plain(1, (400, 300))))
    assert load(str(large)).images.shape == (2, 3, 64, 64)
    assert load(str(large)).notes == ("pictures of 400 x 300 pixels are brought to 64 x 64; size=N gives another size",)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(UsageError) as error:
            split(load(str(path)), 0)
        return str(error.value)

    assert "no pictures; expected CLASS/name.jpg or train/CLASS/name.jpg; there are files .txt" in refused(
        write(tmp_path / "none", {"a/x.txt": b""})
    )
    assert "2 pictures are in no class folder; " in refused(write(tmp_path / "flat", {"1.png": PLAIN, "2.png": PLAIN}))
    one = refused(write(tmp_path / "one", {"cat/1.png": PLAIN, "cat/2.png": PLAIN}))
    assert one == "one: one class alone, cat; a classifier needs two or more, each in a folder"
    assert "has the parts test, valid, but no training part" in refused(
        write(tmp_path / "two", dict.fromkeys(("val/a/1.png", "val/b/1.png", "test/a/1.png"), PLAIN))
    )
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    assert "bad.zip: expected a zip archive of pictures, but" in refused(tmp_path / "bad.zip")


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        ("Train", "train"),
        ("train2017", "train"),
        ("val", "valid"),
        ("test_images", "test"),
        ("eval", "test"),
        ("trainer", ""),
        ("contest", ""),
        ("cat", ""),
        ("testudo", ""),
        ("values", ""),
    ],
)
def test_names_of_parts(folder: str, part: str) -> None:
    assert part_of(folder) == part
