from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

import mulde.files
from kge_data import files
from kge_data.errors import UsageError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _fail(*_: object) -> None:
    raise OSError("no space left on device")


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.written_atomically(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    files.write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert _names(tmp_path) == ["file"]


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.written_atomically(path) as stream:
        stream.write(b"half")
        _ = 1 / 0
    monkeypatch.setattr("os.fsync", _fail)
    with pytest.raises(OSError, match="no space"):
        files.write_atomically(path, b"half")
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["file"]


def test_two_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.written_atomically(path) as one:
        one.write(b"one")
        with files.written_atomically(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one"


def test_a_temporary_name_is_never_an_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.urandom", bytes)  # the same name every time
    precious = files.temporary_beside(tmp_path / "file")
    precious.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        files.write_atomically(tmp_path / "file", b"new")
    assert precious.read_bytes() == b"precious"
    precious.unlink()
    precious.mkdir()
    with pytest.raises(FileExistsError), files.new_folder(tmp_path / "file"):
        pass
    assert precious.is_dir()


def test_temporary_files_of_a_library_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ZeroDivisionError), files.replacing(path, apart=True) as temporary:
        temporary.with_name(".of-the-library").touch()
        _ = 1 / 0
    assert _names(tmp_path) == []
    with files.replacing(path, apart=True) as temporary:
        temporary.write_bytes(b"new")
        assert files.TEMPORARY.fullmatch(temporary.parent.name)  # recognised after a kill
    assert path.read_bytes() == b"new" and _names(tmp_path) == ["file"]


def test_appending_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.append_to(path, b"1")
    monkeypatch.setattr(files.writing, "_sync", _fail)
    with pytest.raises(OSError, match="no space"):
        files.append_to(path, b"2")
    assert path.read_bytes() == b"1"

    def append_another(_: Path) -> None:
        monkeypatch.undo()
        files.append_to(path, b"3")

    monkeypatch.setattr(files.writing, "_sync", append_another)
    files.append_to(path, b"2")
    assert path.read_bytes() == b"123"


def test_the_replaced_file_can_be_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / "file", tmp_path / "previous"
    for content in (b"1", b"2", b"3"):
        with files.written_atomically(path, keep=previous) as stream:
            stream.write(content)
    assert (path.read_bytes(), previous.read_bytes()) == (b"3", b"2")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.write_atomically(tmp_path / "stream", b"")
        with files.replacing(tmp_path / "path") as temporary:
            temporary.unlink()  # as a library that writes a file of its own and renames it
            temporary.touch(mode=0o600)
        with files.new_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    for name, permissions in (("stream", 0o666), ("path", 0o666), ("folder", 0o777)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == permissions & ~umask


def test_a_folder_appears_with_its_parents_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with files.new_folder(path) as temporary:
        (temporary / "file").write_text("content")
        assert not path.exists()
    assert _names(path) == ["file"]
    assert _names(path.parent) == ["folder"]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "folder") as temporary:
        (temporary / "file").write_text("content")
        _ = 1 / 0
    assert _names(tmp_path) == []


def test_folders_of_the_user_are_not_removed(tmp_path: Path) -> None:
    theirs = tmp_path / "folder.partial"
    theirs.mkdir()
    (theirs / "file").write_text("precious")
    with files.new_folder(tmp_path / "folder"):
        pass
    assert (theirs / "file").read_text() == "precious"


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_an_existing_folder_or_file_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "result")
    with pytest.raises(UsageError, match="result: exists already; choose another name, or remove it"):
        files.refuse_existing(tmp_path / "result")
    with pytest.raises(UsageError, match="exists already"), files.new_folder(tmp_path / "result"):
        pass


def test_an_empty_folder_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with files.new_folder(path, replace_empty=True) as temporary:
        (temporary / "file").touch()
    assert _names(path) == ["file"]
    with pytest.raises(UsageError, match="exists already"), files.new_folder(path, replace_empty=True):
        pass


def test_a_folder_made_by_another_process_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with pytest.raises(UsageError, match="exists already"), files.new_folder(path):
        path.mkdir()
        (path / "theirs").touch()
    assert _names(path) == ["theirs"]
    assert _names(tmp_path) == ["folder"]


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_never_replaces_one_that_appears_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _fail)
    path = tmp_path / "file"
    files.write_atomically(path, b"first", new=True)
    with pytest.raises(UsageError, match="file: exists already; choose another name, or remove it"):
        files.write_atomically(path, b"second", new=True)
    path.unlink()
    with (
        pytest.raises(UsageError, match=r"file: exists already; another process was first and wrote it at \d\d:"),
        files.written_atomically(path, new=True) as stream,
    ):
        stream.write(b"second")
        path.write_bytes(b"first")
    assert path.read_bytes() == b"first"
    assert _names(tmp_path) == ["file"]


def test_a_folder_that_appears_at_the_last_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "folder", Path.rename

    def late(temporary: Path, target: Path) -> Path:
        path.mkdir()
        (path / "theirs").touch()
        return rename(temporary, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(UsageError, match="another process was first"), files.new_folder(path) as temporary:
        (temporary / "ours").touch()
    assert _names(path) == ["theirs"]
    assert _names(tmp_path) == ["folder"]


def test_a_folder_that_is_continued_has_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "out.parts"
    for content in (b"1", b"2"):
        files.continued_folder(path, "mark", content)
        assert (path / "mark").read_bytes() == b"1"
    (path / "mark").unlink()
    with pytest.raises(UsageError, match=r"out\.parts: this name is needed for unfinished work, and it exists without"):
        files.continued_folder(path, "mark")
    assert path.is_dir()


@pytest.mark.parametrize("name", ["umls", "WN18RR", "größe 2", "a.b", "-x"])
def test_names_of_files(name: str) -> None:
    assert files.file_name(name) == name


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".", "", "a/b", "a\\b", "c:x", "a\0b", "a\nb", "x/"])
def test_paths_are_no_names_of_files(name: str) -> None:
    with pytest.raises(UsageError, match=r"the graph is called .*, which cannot be the name of a file or folder"):
        files.file_name(name)


def test_temporary_names_are_recognised(tmp_path: Path) -> None:
    found = files.TEMPORARY.fullmatch(files.temporary_beside(tmp_path / "a\nb").name)
    assert found is not None and found[1] == str(os.getpid())


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)  # 254 bytes
    files.write_atomically(path, b"content")
    assert path.read_bytes() == b"content" and len(list(tmp_path.iterdir())) == 1


def _write_often(path: Path, content: bytes) -> None:
    for _ in range(20):
        files.write_atomically(path, content)


def test_readers_see_whole_files_while_processes_write(tmp_path: Path) -> None:
    path, contents = tmp_path / "file", {letter * 100_000 for letter in (b"a", b"b")}
    files.write_atomically(path, b"a" * 100_000)
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    writers = [context.Process(target=_write_often, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert _names(tmp_path) == ["file"]


def test_mulde_offers_the_same_functions() -> None:
    for name in mulde.files.__all__:
        assert getattr(mulde.files, name) is getattr(files, name)
