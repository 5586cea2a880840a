"""Image sets from every source, and their division by seed."""

from __future__ import annotations

import dataclasses
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data import ImageSet, load, reading
from mulde.vision.data.shapes import SHAPES, shapes
from mulde.vision.data.splitting import long_tailed, split, with_label_noise, without_class
from mulde.vision.training.feeds import ImageFeed

LABELS = torch.tensor([0] * 40 + [1] * 20 + [2] * 20)


def numbered(labels: torch.Tensor = LABELS, parts: tuple[str, ...] = ()) -> ImageSet:
    """Image i is i / n all over."""
    values = torch.arange(len(labels)).float() / len(labels)
    return ImageSet(values.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), labels, ("a", "b", "c"), "numbered", parts)


def ids(images: ImageSet) -> set[int]:
    return set((images.images[:, 0, 0, 0] * len(LABELS)).round().int().tolist())


def test_split_is_disjoint_complete_stratified_and_paired() -> None:
    first, again, other = split(numbered(), 3), split(numbered(), 3), split(numbered(), 4)
    parts = [ids(part) for part in (first.train, first.valid, first.test)]
    assert sum(map(len, parts)) == 80 and set.union(*parts) == set(range(80))
    assert first.test.counts().tolist() == [10, 5, 5]
    assert first.valid.counts().tolist() == [3, 2, 1] or first.valid.counts().sum() == 6
    assert ids(again.test) == ids(first.test) != ids(other.test)


def test_split_sizes() -> None:
    found = split(numbered(), 0, train=20, test=12)
    assert found.train.counts().tolist() == [10, 5, 5] and found.test.counts().tolist() == [6, 3, 3]


def test_official_parts_are_kept() -> None:
    official = ("train",) * 60 + ("valid",) * 8 + ("test",) * 12
    found = split(numbered(parts=official), 5)
    assert (ids(found.valid), ids(found.test)) == (set(range(60, 68)), set(range(68, 80)))
    without_valid = tuple(part.replace("valid", "train") for part in official)
    found = split(numbered(parts=without_valid), 5)
    assert ids(found.test) == set(range(68, 80)) and len(found.valid) == 7 and len(found.train) == 61


def test_a_part_needs_an_image_and_leaves_one() -> None:
    with pytest.raises(ValueError, match="cannot draw 0 of 1 images; draw at least 1 and leave at least 1"):
        split(numbered()[torch.arange(1)], 0)


def test_standardised_by_the_training_part() -> None:
    found = split(shapes(80, 8), 0).standardised()
    assert found.train.pixels().mean().item() == pytest.approx(0, abs=1e-6)
    assert found.train.pixels().std().item() == pytest.approx(1, abs=1e-5)
    assert abs(found.test.pixels().mean().item()) > 1e-5


def test_bytes_stay_bytes_until_a_batch_needs_them() -> None:
    stored = torch.randint(256, (70, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kept = ImageSet(stored, torch.arange(70) % 2, ("a", "b"))
    plain = dataclasses.replace(kept, images=stored.float() / 255)
    ours, theirs = split(kept, 0).standardised(), split(plain, 0).standardised()
    assert ours.train.images.dtype == torch.uint8
    rows = torch.tensor([5, 2])
    torch.testing.assert_close(ours.test.pixels(rows), theirs.test.pixels(rows), rtol=1e-5, atol=1e-5)
    assert next(iter(ImageFeed(ours.train, 4))).images.dtype == torch.float32
    assert kept.checksum() == plain.checksum() != ours.train.checksum()
    assert torch.equal(kept.resized(3).images, plain.resized(3).images)


def test_label_noise_is_symmetric_and_exact() -> None:
    noisy = with_label_noise(numbered(), 0.4, seed=1)
    assert (noisy.labels != LABELS).sum() == 32
    assert torch.equal(noisy.labels, with_label_noise(numbered(), 0.4, seed=1).labels)
    assert not torch.equal(noisy.labels, with_label_noise(numbered(), 0.4, seed=2).labels)


def test_long_tail() -> None:
    counts = long_tailed(numbered(), 10, seed=0).counts()
    assert sorted(counts.tolist()) == [2, 6, 20]
    others = {tuple(long_tailed(numbered(), 10, seed).counts().tolist()) for seed in range(9)}
    assert others != {tuple(counts)}


def test_without_class() -> None:
    rest = without_class(numbered(), 1)
    assert rest.counts().tolist() == [40, 0, 20] and len(rest.classes) == 3


def test_shapes_are_repeatable_balanced_and_different() -> None:
    found = shapes(64, 12, seed=5)
    assert found.counts().tolist() == [8] * 8 and found.images.shape == (64, 1, 12, 12)
    assert 0 <= found.images.min() < found.images.max() <= 1
    assert found.checksum() == shapes(64, 12, seed=5).checksum() != shapes(64, 12, seed=6).checksum()
    assert shapes(8, 12, channels=3).images.shape == (8, 3, 12, 12)
    clean = shapes(800, 16, noise=0)
    means = torch.stack([clean.images[clean.labels == i].mean(0).flatten() for i in range(len(SHAPES))])
    assert torch.cdist(means, means)[~torch.eye(8, dtype=torch.bool)].min() > 0.1


def test_digits() -> None:
    pytest.importorskip("sklearn")
    found = load("digits")
    assert found.images.shape == (1797, 1, 8, 8) and found.images.max() == 1
    assert found.counts().tolist()[:3] == [178, 182, 177]


def picture(value: int, size: tuple[int, int] = (4, 4)) -> bytes:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("RGB", size, (value, 0, 255)).save(file, "PNG")
    return file.getvalue()


TREE = {"train/cat/1.png": 10, "train/dog/2.png": 20, "validation/cat/3.png": 30, "test/dog/4.png": 40}


@pytest.mark.parametrize("packed", [True, False])
def test_folder_and_zip_of_pictures(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("pets.zip" if packed else "pets")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in TREE.items():
                archive.writestr(name, picture(value))
    else:
        for name, value in TREE.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(picture(value))
    found = load(str(path))
    assert found.classes == ("cat", "dog")
    by_value = {int(image[0, 0, 0]): i for i, image in enumerate(found.images)}
    labelled = {value: (found.parts[i], found.classes[int(found.labels[i])]) for value, i in by_value.items()}
    assert labelled == {10: ("train", "cat"), 20: ("train", "dog"), 30: ("valid", "cat"), 40: ("test", "dog")}
    assert load(f"{path},grey=1,size=2").images.shape == (4, 1, 2, 2)


def test_pictures_of_several_sizes_need_a_common_one(tmp_path: Path) -> None:
    for name, size in (("a/1.png", (4, 4)), ("b/2.png", (6, 5))):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(picture(1, size))
    with pytest.raises(UsageError, match=r"b/2.png has 6 x 5 pixels, others have 4 x 4; give a common size"):
        load(str(tmp_path))
    assert load(f"folder:{tmp_path},size=8").images.shape == (2, 3, 8, 8)
    assert load(f"folder:{tmp_path},size=8").parts == ()


def test_more_pictures_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(picture(1, (4, 3)))
    monkeypatch.setattr(reading, "_memory", lambda: 2 * 2 * 3 * 12)
    assert len(load(str(tmp_path))) == 2
    monkeypatch.setattr(reading, "_memory", lambda: 2 * 2 * 3 * 12 - 1)
    with pytest.raises(
        UsageError,
        match=r"2 pictures of 4 x 3 pixels, divided into parts, take 0.0 GB, and this machine",
    ):
        load(str(tmp_path))


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, images=np.arange(48, dtype=np.uint8).reshape(3, 4, 4), labels=np.array([1, 0, 1]))
    found = load(f"npz:{path}")
    assert found.labels.tolist() == [1, 0, 1] and found.pixels()[2, 0, 3, 3].item() == pytest.approx(47 / 255)
    assert load(f"{path},size=2").images.shape == (3, 1, 2, 2)
    np.savez(path, pictures=np.zeros(3))
    with pytest.raises(UsageError, match="expected the arrays images and labels, found pictures; save them"):
        load(str(path))


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, images=np.array([{}], dtype=object), labels=np.array([0]))
    with pytest.raises(ValueError, match="allow_pickle"):
        load(str(path))


@pytest.mark.parametrize(("classes", "label"), [(10, [7]), (100, [3, 7])])
def test_cifar(tmp_path: Path, classes: int, label: list[int]) -> None:
    row = np.array([*label, *([255] * 1024), *([0] * 2047), 51], np.uint8)
    (tmp_path / "train.bin").write_bytes(np.concatenate([row, row]).tobytes())
    (tmp_path / "test.bin").write_bytes(row.tobytes())
    found = load(f"cifar{classes}:{tmp_path}")
    assert sorted(found.parts) == ["test", "train", "train"] and found.labels.tolist() == [7] * 3
    assert found.pixels()[0, :, 31, 31].tolist() == pytest.approx([1, 0, 0.2])
    (tmp_path / "test.bin").write_bytes(row[:-1].tobytes())
    with pytest.raises(UsageError, match=r"expected a multiple of \d+ bytes, got \d+; is it cut short"):
        load(f"cifar{classes}:{tmp_path}")


def test_cifar_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"pickle")
    with pytest.raises(UsageError, match=r"no .bin files; get the binary version of CIFAR-10"):
        load(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("packed", [True, False])
def test_idx(tmp_path: Path, packed: bool) -> None:
    def write(name: str, array: np.ndarray, cut: int = 0) -> None:
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        raw = (header + array.astype(np.uint8).tobytes())[: -cut or None]
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(raw) if packed else raw)

    for prefix, n in (("train", 3), ("t10k", 2)):
        write(f"{prefix}-images-idx3-ubyte", np.arange(n * 20).reshape(n, 4, 5))
        write(f"{prefix}-labels-idx1-ubyte", np.arange(n))
    found = load(str(tmp_path))
    assert found.parts == ("train",) * 3 + ("test",) * 2 and found.labels.tolist() == [0, 1, 2, 0, 1]
    assert found.pixels()[2, 0, 3, 4].item() == pytest.approx(59 / 255)
    write("train-images-idx3-ubyte", np.zeros((3, 4, 5)), cut=7)
    with pytest.raises(UsageError, match=r"its header says \[3, 4, 5\], but 53 bytes follow"):
        load(f"idx:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digitss", "--data digitss: digitss does not exist"),
        ("digits,colour=1", 'no option called "colour"; there are size=PIXELS and grey=1'),
        ("shapes,size=big", "size is a number of pixels, got big"),
        ("coco:.", 'no form of image data called "coco:."; there are '),
    ],
)
def test_wrong_specifications(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        load(spec)
    assert message in str(error.value)


def test_generated_sizes() -> None:
    assert load("shapes:24,size=10").images.shape == (24, 1, 10, 10)


def test_image_sets_check_what_they_get() -> None:
    with pytest.raises(ValueError, match=r"got torch.float64 \(2, 1, 2, 2\) and 2 labels"):
        ImageSet(torch.zeros(2, 1, 2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64), ("a",))
    with pytest.raises(ValueError, match="label 1, but there are 1 class names"):
        ImageSet(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), ("a",))
