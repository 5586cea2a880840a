from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from kge_data import files
from kge_data.errors import NotWritable, UsageError, WriteError
from kge_data.files import writing

SENTENCES = {
    errno.ENOSPC: "no space left on the device; free some space, and the same command continues",
    errno.EDQUOT: "disk quota exceeded; free some space of your quota, and the same command continues",
    errno.EFBIG: "larger than the limit for files; raise it (`ulimit -f`), and the same command continues",
    errno.EROFS: "the file system is read-only; make it writable, or name another path",
    errno.EIO: "input or output error of the disk; check the disk, and the same command continues",
}


@pytest.mark.parametrize("library", [False, True], ids=["system", "library"])
@pytest.mark.parametrize("code", SENTENCES)
def test_an_error_of_the_disk_is_a_sentence(
    code: int, library: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file, and of a folder that contains it, whose temporary name is not shown; the old file stays."""

    def fail(path: Path) -> None:
        raise RuntimeError(f"I/O: {os.strerror(code)} (os error {code})") if library else OSError(code, "")

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(writing, "_sync", fail)
    with pytest.raises(WriteError) as caught:
        files.write_atomically(tmp_path / "file", b"new")
    assert str(caught.value) == f"{tmp_path / 'file'}: {SENTENCES[code]}"
    with pytest.raises(WriteError) as caught, files.new_folder(tmp_path / "folder") as folder:
        files.write_atomically(folder / "file", b"new")
    assert str(caught.value) == f"{tmp_path / 'folder'}: {SENTENCES[code]}"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    for write in (
        lambda: files.write_atomically(tmp_path / "file", b""),
        lambda: files.make_folder(tmp_path / "file"),
        lambda: files.locked(tmp_path / "file").__enter__(),
    ):
        with pytest.raises(NotWritable, match="file: no permission to write there; change the permissions, or name"):
            write()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    """It is neither a folder nor free; nothing waits for it to become one."""
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    for folder in (link, link / "below"):
        with pytest.raises(FileExistsError):
            files.make_folder(folder)
    with pytest.raises(UsageError, match="link: this name is needed for unfinished work"):
        files.continued_folder(link, "mark")
    with pytest.raises(UsageError, match="link: exists already"):
        files.write_atomically(link, b"", new=True)
    with pytest.raises(UsageError, match="link: exists already"), files.new_folder(link):
        pass
    assert link.is_symlink() and len(list(tmp_path.iterdir())) == 1


def test_other_errors_are_not_explained(tmp_path: Path) -> None:
    for error in (UsageError("no space"), ValueError("x"), PermissionError(errno.EACCES, "denied", "/elsewhere")):
        with pytest.raises(type(error)) as caught, files.writing_to(tmp_path / "file"):
            raise error
        assert caught.value is error


def test_it_passes_between_processes() -> None:
    error = pickle.loads(pickle.dumps(NotWritable("x", "no permission", "name another path")))
    assert isinstance(error, NotWritable) and str(error) == "x: no permission; name another path"
    assert error.strerror == "no permission"


def test_a_finished_folder_is_read_without_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with files.locked(tmp_path, finished=True):
        assert not list(tmp_path.iterdir())


def test_an_equal_file_is_left_as_it_is(tmp_path: Path) -> None:
    files.write_atomically(tmp_path / "file", b"same")
    before = (tmp_path / "file").stat().st_ino
    files.write_atomically(tmp_path / "file", b"same")
    assert (tmp_path / "file").stat().st_ino == before
    files.write_atomically(tmp_path / "file", b"else")
    assert (tmp_path / "file").stat().st_ino != before
