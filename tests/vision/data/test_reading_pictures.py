"""Pictures of all kinds in one form: upright, opaque, 8 bits; broken ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.vision.pictures.orientation import upright, upright_boxes
from mulde.vision.pictures.reading import BrokenPicture, as_file, read_header, read_ids, read_pixels
from tests.vision.pictures import Image, corner, deep_colour, encoded, turned

ops: Any = pytest.importorskip("PIL.ImageOps")


def read(path: Path, content: bytes, name: str = "x.png", **options: Any) -> np.ndarray:
    (path / name).write_bytes(content)
    return read_pixels(as_file(path / name), **options)[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_pillow_turns_it_with_its_boxes(tmp_path: Path, orientation: int) -> None:
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(corner(), kind, exif=exif.tobytes(), **options)
        (tmp_path / "x").write_bytes(content)
        with Image.open(tmp_path / "x") as picture:
            expected = np.asarray(ops.exif_transpose(picture).convert("RGB"))
        assert np.array_equal(read(tmp_path, content), expected)
    assert read_header(as_file(tmp_path / "x.png")).size == expected.shape[1::-1]
    marked = np.zeros((6, 4), int)
    marked[1:3, 2:4] = 1
    (box,) = upright_boxes([(2, 1, 4, 3)], (4, 6), orientation)
    left, top, right, bottom = map(int, box)
    found = upright(marked, orientation)
    assert found[top:bottom, left:right].all() and found.sum() == 4 == (right - left) * (bottom - top)
    assert read(tmp_path, content, size=(2, 3)).shape == (3, 2, 3)


def transparent(mode: str) -> Any:
    """Black, but that its left half is transparent."""
    picture = Image.new("RGBA", (4, 2), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 2, 2))
    if mode == "P":  # one transparent entry of the palette
        paletted = Image.new("P", (4, 2), 0)
        paletted.putpalette([0, 0, 0, 0, 0, 0])
        paletted.paste(1, (2, 0, 4, 2))
        return paletted
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    picture = transparent(mode)
    options = {"transparency": 0} if mode == "P" else {}
    found = read(tmp_path, encoded(picture, **options))
    assert found.tolist() == [[[255] * 3] * 2 + [[0] * 3] * 2] * 2
    assert read_header(as_file(tmp_path / "x.png")).transparent
    assert read(tmp_path, encoded(picture, **options), grey=True).tolist() == [[255, 255, 0, 0]] * 2


def test_a_colour_that_stands_for_transparency(tmp_path: Path) -> None:
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert read(tmp_path, encoded(grey, transparency=7))[0, :, 0].tolist() == [255, 8]
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert read(tmp_path, encoded(colour, transparency=(1, 2, 3)))[0].tolist() == [[255] * 3, [4, 5, 6]]


def test_depths_and_colour_spaces(tmp_path: Path) -> None:
    deep = np.array([[0, 257 * 9, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        assert read(tmp_path, encoded(deep, kind), grey=True).tolist() == [[0, 9, 255]]
        assert read_header(as_file(tmp_path / "x.png")).deep
    assert read(tmp_path, encoded(deep.astype(np.int32), "TIFF"))[0, :, 0].tolist() == [0, 9, 255]
    assert read(tmp_path, encoded((deep / 65535).astype(np.float32), "TIFF"))[0, :, 0].tolist() == [0, 9, 255]
    colour = np.stack([deep, deep[:, ::-1], deep], -1)
    assert np.abs(read(tmp_path, deep_colour(colour))[0, 1].astype(int) - 9).max() <= 1
    assert read(tmp_path, encoded(np.array([[True, False]])))[0, :, 0].tolist() == [255, 0]
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        assert np.abs(read(tmp_path, encoded(red, kind))[4, 4].astype(int) - [255, 0, 0]).max() < 4
    palette = Image.fromarray(corner()).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(read(tmp_path, encoded(palette)), corner())
    with pytest.raises(BrokenPicture, match=r"expected floating point in \[0, 1\], got values from 0 to 300"):
        read(tmp_path, encoded(np.array([[0.0, 300.0]], np.float32), "TIFF"))


def test_large_photographs_are_decoded_at_a_fraction_of_their_size(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (256, 512, 3)).copy()
    found = read(tmp_path, encoded(picture, "JPEG", quality=95), size=(16, 16))
    assert found.shape == (16, 16, 3)
    assert np.abs(found[..., 0].astype(float) - ramp.reshape(16, 32).mean(1)).max() < 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"text", "its format is unknown or its beginning is damaged"),
        (encoded(corner(64, 64), "JPEG")[:-300], "truncated"),
        (encoded(np.arange(4096).reshape(64, 64).astype(np.uint8))[:-60], "truncated"),
        (encoded(corner(64, 64), "TIFF")[:200], ""),
    ],
)
def test_broken_pictures_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BrokenPicture) as error:
        read(tmp_path, content, "broken.jpg")
    assert str(error.value).startswith(f"{tmp_path / 'broken.jpg'} cannot be read as a picture: ")
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_damaged_exif_data_change_nothing(tmp_path: Path) -> None:
    content = (
        turned(corner(16, 16), 6, "JPEG").replace(b"Exif\0\0MM", b"Exif\0\0XX").replace(b"Exif\0\0II", b"Exif\0\0XX")
    )
    assert read(tmp_path, content).shape == (16, 16, 3)
    assert np.array_equal(read(tmp_path, turned(corner(), 77)), corner())


def test_class_ids(tmp_path: Path) -> None:
    def ids(content: bytes) -> list[list[int]]:
        (tmp_path / "m.png").write_bytes(content)
        return read_ids(as_file(tmp_path / "m.png"))[0].tolist()

    grey = np.array([[0, 3, 255]], np.uint8)
    palette = Image.fromarray(grey, "L").convert("P")
    assert ids(encoded(grey)) == ids(encoded(palette)) == ids(encoded(np.stack([grey] * 3, -1))) == [[0, 3, 255]]
    assert ids(encoded(grey.astype(np.uint16) * 10)) == [[0, 30, 2550]]
    with pytest.raises(UsageError, match=r"m.png is in colour; expected a class id per pixel"):
        ids(encoded(corner()))
