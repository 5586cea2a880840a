from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from kge_data import files
from kge_data.errors import UsageError


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    assert files.read_json(path) is None
    files.write_json(path, {"a": [1.5, None, "é"], "path": Path("x")})
    assert files.read_json(path) == {"a": [1.5, None, "é"], "path": "x"}
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["a", "path", "file_checksum"]
    path.write_text(path.read_text(encoding="utf-8").replace("1.5", "2.5"), encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"some\.json: .* does not match its file_checksum; the file is damaged or was"
    ):
        files.read_json(path)
    path.write_text('{"a": 1}')  # of an earlier version
    assert files.read_json(path) == {"a": 1}


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b""])
def test_what_is_no_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"bad\.json: expected JSON as it was written, but .*; put back a copy"):
        files.read_json(tmp_path / "bad.json")


def test_text_that_is_not_unicode() -> None:
    """As in the name of a file that is not UTF-8."""
    assert files.from_json(files.as_json({"folder": "\udce9"})) == {"folder": "\udce9"}


def test_zip(tmp_path: Path) -> None:
    path, content = tmp_path / "some.zip", io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("member", b"0123456789")
    path.write_bytes(content.getvalue())
    with files.checked_zip(path) as stream:
        assert stream.read() == content.getvalue()
    for damaged in (content.getvalue().replace(b"5", b"6"), content.getvalue()[:-5], b""):
        path.write_bytes(damaged)
        with (
            pytest.raises(ValueError, match=r"member does not match its CRC-32|File is not a zip file"),
            files.checked_zip(path),
        ):
            pass


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "file").startswith("ba7816bf")
