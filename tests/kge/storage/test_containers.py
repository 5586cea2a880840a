"""Folders and zips of strangers: members, sizes, compressions, pipes and links."""

import os
import socket
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mulde.errors import UsageError
from mulde.kge.storage.run_folder import graph_of, open_model
from tests.kge.storage.strangers import DEEP, GB3, Files, refused, signed, written

NAMES = ["bundle.json", "README.md", "calibration.json", "entities.tsv", "relations.tsv", "known.npz", "model.json",
         "model.safetensors"]  # fmt: skip


@pytest.mark.parametrize("form", ["toy.zip", "toy"])
@pytest.mark.parametrize("name", NAMES)
def test_members_that_are_missing_or_of_another_type(form: str, name: str, good: Files, tmp_path: Path) -> None:
    files = {other: content for other, content in good.items() if other != name}
    if name != "bundle.json":
        if name != "calibration.json":  # which a bundle may lack
            refused(written(tmp_path / f"none-{form}", signed(files)), name)
        refused(written(tmp_path / f"lost-{form}", good | signed(good) | {name: b""}), name)
        if name != "README.md":
            for i, content in enumerate((b"", b"\xff\xfe\x00", DEEP, b"[]", b"{}", b"3", b'"a"', b"null")):
                refused(written(tmp_path / f"{i}-{form}", signed(files | {name: content})), name)
    else:
        for i, content in enumerate((b"", b"\xff\xfe", b'{"format":' + DEEP + b"}", b"[]", b"{}", b"1" * 5000)):
            refused(written(tmp_path / f"{i}-{form}", files | {name: content}))


def test_a_card_that_is_not_utf8(good: Files, tmp_path: Path) -> None:
    for name in ("README.md", "NOTICE"):
        place = written(tmp_path / f"{name}.zip", signed(good | {name: b"caf\xe9"}))
        refused(place, name, "expected text in UTF-8")


def declared(place: Path, name: str, size: int) -> None:
    """Declare another size of a file in a zip."""
    content = bytearray(place.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        length = struct.unpack_from("<H", content, at + 28)[0]
        if content[at + 46 : at + 46 + length] == name.encode():
            struct.pack_into("<I", content, at + 24, size)
        at = content.find(b"PK\x01\x02", at + 4)
    place.write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
def test_three_gigabytes_are_only_declared(name: str, good: Files, tmp_path: Path) -> None:
    def larger(manifest: dict[str, Any]) -> None:
        if name != "bundle.json":
            manifest["files"][name]["bytes"] = GB3

    place = written(tmp_path / "toy.zip", signed(good, larger))
    declared(place, name, GB3)
    refused(place, f"{name} would expand from", "to 3,221,225,472 bytes")
    folder = written(tmp_path / "toy", signed(good, larger))
    with (folder / name).open("wb") as stream:
        stream.truncate(GB3)  # without blocks on the disk
    refused(folder, name, "3,221,225,472")


def test_more_comes_out_than_was_declared(good: Files, tmp_path: Path) -> None:
    files = signed(good, lambda manifest: manifest["files"]["README.md"].update(bytes=5))
    place = written(tmp_path / "toy.zip", files | {"README.md": b"\0" * (1 << 20)})
    declared(place, "README.md", 5)
    refused(place, "README.md")


def test_texts_have_a_limit_before_they_are_read(good: Files, tmp_path: Path) -> None:
    for name in ("README.md", "NOTICE", "model.json", "calibration.json", "entities.tsv"):
        place = written(tmp_path / f"{name}.zip", signed(good | {name: b"a" * (2 << 20)}))
        refused(place, name, "expected at most")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(method: int, good: Files, tmp_path: Path) -> None:
    refused(written(tmp_path / "toy.zip", signed(good), method), "stored or deflated")


def test_encrypted_members_and_members_twice(good: Files, tmp_path: Path) -> None:
    place = written(tmp_path / "toy.zip", signed(good))
    with warnings.catch_warnings(), zipfile.ZipFile(place, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr("model.json", good["model.json"])
    refused(place, "expected one model.json, found 2")
    content = bytearray(written(tmp_path / "locked.zip", signed(good)).read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 4)
    (tmp_path / "locked.zip").write_bytes(content)
    refused(tmp_path / "locked.zip", "is encrypted")


def test_a_zip_with_a_hundred_thousand_names(good: Files, tmp_path: Path) -> None:
    place = written(tmp_path / "toy.zip", signed(good))
    with zipfile.ZipFile(place, "a") as file:
        for number in range(30):
            file.writestr(zipfile.ZipInfo(f"{number}{'n' * 60_000}"), b"")
    refused(place, "its list of files takes more than")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": pipe,
    "socket": bound,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
    "Too many levels of symbolic links": lambda path: path.symlink_to(path.name),
    "link that leads nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.skipif(os.name != "posix", reason="no pipes in a folder")
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["bundle.json", "model.json", "model.safetensors", "known.npz"])
def test_pipes_devices_and_links_in_a_folder(
    kind: str, name: str, good: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = written(tmp_path / "toy", signed(good))
    (place / name).unlink()
    monkeypatch.chdir(place)  # the path of a socket has a limit of 107 bytes
    SPECIAL[kind](place / name)
    refused(place, name, kind)
    if name != "bundle.json":
        (place / "bundle.json").unlink()  # it is a run folder now
        with pytest.raises(UsageError, match=kind):
            graph_of(place)
            open_model(place)
