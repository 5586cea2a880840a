"""Text for people in any encoding, and without control characters."""

from __future__ import annotations

import io
import json
import sys

import pytest

from kge_data.errors import UsageError
from kge_data.printing import json_text, one_line, print_in_any_encoding, printable

CONTROLS = "a\x00\x1b[31m\x7f\x9b\x85\r\u2028\u202e\u2066\ufeffb\udcff"
ESCAPED = "a\\x00\\x1b[31m\\x7f\\x9b\\x85\\r\\u2028\\u202e\\u2066\\ufeffb\\udcff"


def test_names_are_one_line_without_control_characters() -> None:
    assert one_line(CONTROLS) == ESCAPED
    assert one_line("a\nb\tc\u2068") == "a\\nb\\tc\\u2068"
    assert one_line("naïve 知 👩\u200d🚀 \\n") == "naïve 知 👩\u200d🚀 \\n"


def test_texts_keep_their_lines() -> None:
    assert printable(f"{CONTROLS}\n\u2068x\u2069\t") == f"{ESCAPED}\n\u2068x\u2069\t"


def test_sentences_of_errors_have_no_control_characters() -> None:
    assert str(UsageError(f"no {CONTROLS}\nat all")) == f"no {ESCAPED}\nat all"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_json_is_the_same_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    value = {"é": [f"{CONTROLS}\n\u2069", "łódź 知 😀", 1.5, None]}
    print_in_any_encoding()
    print(json_text(value), flush=True)
    written = stream.buffer.read1() if stream.buffer.seek(0) == 0 else b""
    assert json.loads(written.decode(encoding)) == value
    assert written.decode(encoding).replace("\n", "").isprintable()
    assert ("łódź".encode() in written) == (encoding == "utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_letters_that_an_encoding_lacks_are_escapes(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    print_in_any_encoding()
    print("√n ł", flush=True)
    assert stream.buffer.seek(0) == 0 and stream.buffer.read() == b"\\u221an \\u0142\n"


def test_closed_streams_swallow_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    print_in_any_encoding()
    for stream in (sys.stdout, sys.stderr):
        with stream:
            assert stream.write("x") == 1
