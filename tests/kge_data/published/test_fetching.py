"""Downloads from a server on this machine that fails on demand."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import kge_data
from kge_data import cache
from kge_data.errors import DataError, UsageError
from kge_data.published import fetching
from kge_data.published.record import Download, PublishedSet

CONTENT = {
    "train.txt": b"anna\tknows\tbert\nbert\tknows\tcarl\ncarl\tlikes\tanna\n",
    "valid.txt": b"bert\tlikes\tanna\n",
    "test.txt": b"carl\tknows\tanna\n",
}
NAMES = b"anna\tAnna Seghers\n"


@dataclass
class Server:
    """Files that are served, failures to come, and requests."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)  # the next answers end after so many bytes
    errors: list[int] = field(default_factory=list)  # the next answers are these codes
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            if state.errors:
                return self.send_error(state.errors.pop(0))
            content = state.files.get(self.path)
            if content is None:
                return self.send_error(404)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start and start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + state.cut.pop(0) if state.cut else None
            self.wfile.write(content[start:end])
            return None

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        state.address = f"http://127.0.0.1:{http.server_port}"
        monkeypatch.setattr(fetching, "PAUSE", 0.0)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield state
        http.shutdown()


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in {"../../evil.txt": b"no", **CONTENT}.items():
            member = tarfile.TarInfo(f"people/text/{name}" if name in CONTENT else name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def record(server: Server) -> PublishedSet:
    """A graph with two mirrors: an archive and three plain files."""
    archive = _archive()
    server.files = {"/a/people.tar.gz": archive, "/names.txt": NAMES}
    server.files |= {f"/b/{name}": content for name, content in CONTENT.items()}
    rows = [[tuple(line.split("\t")) for line in text.decode().splitlines()] for text in CONTENT.values()]
    return PublishedSet(
        name="people",
        folder="People",
        entities=3,
        relations=2,
        train=3,
        valid=1,
        test=1,
        checksum=kge_data.from_triples(*rows).checksum,
        citation="",
        licence="",
        mirrors=(
            (Download(f"{server.address}/a/people.tar.gz", _sha(archive)),),
            tuple(Download(f"{server.address}/b/{name}", _sha(content)) for name, content in CONTENT.items()),
        ),
        texts=(Download(f"{server.address}/names.txt", _sha(NAMES), name="entity2text.txt"),),
    )


def _downloads() -> Path:
    return cache.directory() / "downloads"


def test_an_archive_is_downloaded_once(server: Server, record: PublishedSet) -> None:
    graph = kge_data.load(record)
    assert graph.checksum == record.checksum
    assert graph.entity_label(0) == "Anna Seghers"
    assert [path for path, _ in server.requests] == ["/a/people.tar.gz", "/names.txt"]
    kge_data.load(record)
    assert len(server.requests) == 2
    files = sorted(str(path.relative_to(_downloads())) for path in _downloads().rglob("*"))
    assert files == [
        "People",
        "People/entity2text.txt",
        "People/test.txt",
        "People/train.txt",
        "People/valid.txt",
    ]


def test_download_can_be_forbidden(server: Server, record: PublishedSet) -> None:
    with pytest.raises(DataError, match=r"people: not found and not downloaded; put train\.txt"):
        kge_data.load(record, download=False)
    assert server.requests == []


def test_a_cut_connection_is_continued_where_it_ended(server: Server, record: PublishedSet) -> None:
    server.cut = [10, 7]
    kge_data.load(record)
    assert server.requests[:3] == [("/a/people.tar.gz", range_) for range_ in (None, "bytes=10-", "bytes=17-")]


def test_a_later_call_continues_too(server: Server, record: PublishedSet) -> None:
    server.files.pop("/b/train.txt")
    server.cut = [10, 0, 0, 0]
    with pytest.raises(DataError, match="the connection ended after 10 of"):
        kge_data.load(record)
    server.requests.clear()
    kge_data.load(record)
    assert server.requests[0] == ("/a/people.tar.gz", "bytes=10-")


def test_a_server_without_ranges_starts_over(server: Server, record: PublishedSet) -> None:
    server.ranges, server.cut = False, [10]
    assert kge_data.load(record).checksum == record.checksum
    assert len([path for path, _ in server.requests if path.startswith("/a")]) == 2


def test_a_leftover_longer_than_the_file_starts_over(server: Server, record: PublishedSet) -> None:
    leftover = _downloads() / "People.partial" / "1" / "people.tar.gz.part"
    leftover.parent.mkdir(parents=True)
    (leftover.parent.parent / fetching.MARK).touch()
    leftover.write_bytes(b"x" * 100_000)
    kge_data.load(record)
    assert [range_ for path, range_ in server.requests if path.startswith("/a")] == ["bytes=100000-", None]


def test_a_folder_of_the_user_is_not_a_leftover(server: Server, record: PublishedSet) -> None:
    theirs = _downloads() / "People.partial" / "theirs"
    theirs.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"People\.partial: this name is needed for unfinished work"):
        kge_data.load(record)
    assert theirs.is_dir() and server.requests == []


def test_the_second_of_two_processes_uses_the_download_of_the_first(server: Server, record: PublishedSet) -> None:
    with ThreadPoolExecutor(2) as pool:
        graphs = list(pool.map(kge_data.load, [record, record]))
    assert [graph.checksum for graph in graphs] == [record.checksum] * 2
    assert [path for path, _ in server.requests] == ["/a/people.tar.gz", "/names.txt"]


def test_a_busy_server_is_tried_again(server: Server, record: PublishedSet) -> None:
    server.errors = [503, 429]
    kge_data.load(record)
    assert [path for path, _ in server.requests[:3]] == ["/a/people.tar.gz"] * 3


def test_a_missing_file_leads_to_the_second_mirror_at_once(server: Server, record: PublishedSet) -> None:
    del server.files["/a/people.tar.gz"]
    assert kge_data.load(record).checksum == record.checksum
    assert [path for path, _ in server.requests] == [
        "/a/people.tar.gz",
        "/b/train.txt",
        "/b/valid.txt",
        "/b/test.txt",
        "/names.txt",
    ]


def test_a_wrong_file_leads_to_the_second_mirror(server: Server, record: PublishedSet) -> None:
    server.files["/a/people.tar.gz"] = b"something else"
    kge_data.load(record)
    requests = [path for path, _ in server.requests]
    assert requests[: fetching.ATTEMPTS + 1] == ["/a/people.tar.gz"] * fetching.ATTEMPTS + ["/b/train.txt"]


@pytest.mark.parametrize("content", [b"not an archive", _archive()[:-40], b""])
def test_a_damaged_archive_without_checksum_leads_to_the_second_mirror(
    server: Server, record: PublishedSet, content: bytes
) -> None:
    server.files["/a/people.tar.gz"] = content
    unchecked = replace(record.mirrors[0][0], sha256="")
    assert kge_data.load(replace(record, mirrors=((unchecked,), record.mirrors[1]))).checksum == record.checksum


def test_files_of_another_version_are_refused_and_removed(server: Server, record: PublishedSet) -> None:
    server.files["/b/train.txt"] = CONTENT["train.txt"].replace(b"knows", b"likes")
    unchecked = tuple(replace(download, sha256="") for download in record.mirrors[1])
    with pytest.raises(DataError, match="the counts are those of people, but the triples are others"):
        kge_data.load(replace(record, mirrors=(unchecked,)))
    server.files["/b/train.txt"] = CONTENT["train.txt"]
    assert kge_data.load(replace(record, mirrors=(unchecked,))).checksum == record.checksum


def test_when_no_mirror_works_the_sentence_says_what_to_do(server: Server, record: PublishedSet) -> None:
    server.files.clear()
    with pytest.raises(DataError) as caught:
        kge_data.load(record)
    assert str(caught.value) == (
        "people: the download failed from every mirror. "
        f"{server.address}/a/people.tar.gz: the server answered 404 Not Found. "
        f"{server.address}/b/train.txt: the server answered 404 Not Found. "
        "To install it by hand, put train.txt, valid.txt, test.txt into a folder People, "
        "and set KGE_DATA_HOME to the folder that contains it."
    )
    assert not (_downloads() / "People").exists()


def test_a_graph_without_names_is_still_a_graph(server: Server, record: PublishedSet) -> None:
    del server.files["/names.txt"]
    with pytest.warns(UserWarning, match="no readable names, identifiers are used"):
        graph = kge_data.load(record)
    assert graph.entity_label(0) == "anna"


def test_nobody_answers(record: PublishedSet) -> None:
    nowhere = Download("http://127.0.0.1:9/people.tar.gz")
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/people\.tar\.gz: .*refused"):
        kge_data.load(replace(record, mirrors=((nowhere,),)))


def test_progress_on_a_terminal_only(
    record: PublishedSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kge_data.load(record)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = fetching._Progress("big.tar.gz", 0, 4_000_000)
    progress._begun -= 1.0
    progress._updated -= 1.0
    progress.show(2_000_000)
    progress.end()
    assert capsys.readouterr().err == "\rbig.tar.gz: 2.0 MB, 2.0 MB/s, 50%, 1 s left   \n"
