"""Text for people: control characters as escapes, and streams that print in any encoding.

Names and messages may contain anything that a file contained. Printed as they are, escape sequences would control the
terminal, and changes of direction would hide what a line says.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
SURROGATES = range(0xD800, 0xE000)  # bytes of file names that are not UTF-8, among others
KEPT = "\n\t\u2068\u2069"  # in a text of several lines, which may isolate a name that is written from right to left
IN_NAMES = {code: ascii(chr(code))[1:-1] for code in [*CONTROLS, *SURROGATES]}
IN_TEXTS = {code: escape for code, escape in IN_NAMES.items() if chr(code) not in KEPT}
IN_JSON = {code: json.dumps(chr(code))[1:-1] for code in IN_NAMES if chr(code) != "\n"}


def one_line(name: str) -> str:
    """A name with control characters, line ends, lone surrogates and changes of direction as escapes."""
    return name if name.isprintable() else name.translate(IN_NAMES)


def printable(text: str) -> str:
    """A text of several lines with such characters as escapes, as in a Python string, but for line ends and tabs."""
    return text if text.isprintable() else text.translate(IN_TEXTS)


def json_text(value: Any) -> str:
    """A value as indented JSON for standard output: readable letters where its encoding has them, escapes otherwise."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str).translate(IN_JSON)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=2, default=str)
    return text


def print_in_any_encoding() -> None:
    """Let standard output and error print characters that their encoding lacks as escapes; open those that are closed.

    For a program that is run as a command: nothing is restored.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
