"""Image sets from every source, and their division by seed."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data import ImageSet, load
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
    with pytest.raises(UsageError, match="numbered: class 3 cannot be left out of 3 classes, counted from 0"):
        without_class(numbered(), 3)


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


def npz(path: Path, **arrays: object) -> ImageSet:
    np.savez(path / "some.npz", **{name: np.asarray(values) for name, values in arrays.items()})
    return load(f"npz:{path / 'some.npz'}")


IMAGES = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)


def test_npz(tmp_path: Path) -> None:
    found = npz(tmp_path, images=IMAGES, labels=[1, 0, 1])
    assert found.labels.tolist() == [1, 0, 1] and found.pixels()[2, 0, 3, 3].item() == pytest.approx(47 / 255)
    assert load(f"{tmp_path / 'some.npz'},size=2").images.shape == (3, 1, 2, 2)
    parts = npz(
        tmp_path, x_train=IMAGES, y_train=[[1], [0], [1]], x_test=IMAGES[:1], y_test=[[2]], classes=["a", "b", "c"]
    )
    assert parts.parts == ("train",) * 3 + ("test",) and parts.classes == ("a", "b", "c")
    assert parts.labels.tolist() == [1, 0, 1, 2]
    medical = npz(tmp_path, train_images=IMAGES, train_labels=[0, 1, 0], val_images=IMAGES, val_labels=[0, 1, 0])
    assert medical.parts == ("train",) * 3 + ("valid",) * 3
    named = npz(tmp_path, X=np.stack([IMAGES] * 3, 1), y=["b", "a", "b"])
    assert named.classes == ("a", "b") and named.labels.tolist() == [1, 0, 1] and named.images.shape == (3, 3, 4, 4)
    assert npz(tmp_path, images=IMAGES, labels=[[0, 1], [1, 0], [0, 1]]).labels.tolist() == [1, 0, 1]
    unknown = npz(tmp_path, images=IMAGES, labels=[-1.0, 0.0, 2.0])
    assert unknown.labels.tolist() == [-1, 0, 2] and unknown.notes == ("no picture has the label 1",)


def test_depths_and_channels_of_arrays(tmp_path: Path) -> None:
    def pixel(images: np.ndarray) -> list[float]:
        return npz(tmp_path, images=images, labels=[0, 1, 0]).pixels()[2, :, 3, 3].tolist()

    want = pytest.approx([47 / 255], abs=1e-6)
    for images in (IMAGES.astype(np.uint16) * 257, IMAGES.astype(np.int64), IMAGES / 255, IMAGES.astype(np.float32)):
        assert pixel(images) == want
    assert pixel(IMAGES > 46) == [1.0]
    alpha = np.stack([np.zeros_like(IMAGES)] * 3 + [IMAGES], -1)  # black, hardly there
    assert pixel(alpha) == pytest.approx([(255 - 47) / 255] * 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": [0.0]}, "expected the arrays images and labels, found pictures; save them"),
        ({"images": IMAGES, "labels": [0, 1]}, "there are 3 images and 2 labels"),
        ({"images": IMAGES, "labels": [0, 1, -2]}, "label -2 (1 picture) is below 0; number the classes from 0"),
        ({"images": IMAGES, "labels": [0, 1, 700]}, "label 700 (1 picture) is after 698 numbers that no picture has"),
        ({"images": IMAGES, "labels": [7, 8, 8]}, "labels 7, 8 (3 pictures) are after 7 numbers that no picture has"),
        (
            {"images": IMAGES, "labels": [0, 1, 2], "classes": ["a", "b"]},
            "label 2 (1 picture) is too large for 2 class names",
        ),
        ({"images": IMAGES, "labels": [0, np.inf, 0.5]}, "labels 0.5, inf (2 pictures) are not whole; number"),
        ({"images": IMAGES, "labels": [0, 1, 1j]}, "labels are whole numbers from 0 or names, got complex128"),
        ({"images": IMAGES, "labels": [[0, 1], [1, 1], [1, 0]]}, "some have several labels or none"),
        ({"images": IMAGES[:, :0], "labels": [0, 1, 0]}, "got uint8 (3, 1, 0, 4)"),
        ({"images": IMAGES[:0], "labels": []}, "got uint8 (0, 1, 4, 4)"),
        (
            {"images": np.zeros((3, 4, 4, 2), np.uint8), "labels": [0, 1, 0]},
            "with 1 or 3 channels, got uint8 (3, 2, 4, 4)",
        ),
        ({"images": IMAGES - 1.0, "labels": [0, 1, 0]}, "or floating point in [0, 1], got float64 from -1 to 46"),
        ({"images": np.array([{}]), "labels": [0]}, "without Python objects, which could run code; Object arrays"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        npz(tmp_path, **arrays)
    assert message in str(error.value)


def test_no_archive_of_arrays(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"text")
    np.save(tmp_path / "y.npz.npy", IMAGES)
    (tmp_path / "y.npz.npy").rename(tmp_path / "y.npz")
    for name, message in (("x", "expected an npz archive of arrays"), ("y", "one array; expected an npz archive")):
        with pytest.raises(UsageError, match=message):
            load(f"npz:{tmp_path / name}.npz")


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
        ("digits,colour=1", 'no option called "colour"; there are size=PIXELS and grey=1 and skip-broken=1 and '),
        ("digits,grey=yes", "grey is 0 or 1, got yes"),
        ("shapes:none", "expected a number of images, got none"),
        ("digits,workers=-1", "workers is a whole number, got -1"),
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
    for labels, message in (
        ([0, 1], "label 1, but there are 1 class names"),
        ([0, -2], "label -2; labels count from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ImageSet(torch.zeros(2, 1, 2, 2), torch.tensor(labels), ("a",))
