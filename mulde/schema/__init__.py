"""The JSON files that are read from run folders and bundles: `contents` says what each holds, `kinds` what that means.

Every reader of such a file calls `read` or `parse` first, so that it meets the keys, types and ranges that it expects.
Imports no torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kge_data.errors import UsageError
from kge_data.files import from_json
from kge_data.regular_files import read_limited
from mulde.schema.kinds import Kind, Mismatch, shown

__all__ = ["DAMAGED", "LARGEST", "SMALL", "Kind", "check", "load", "parse", "read", "read_lines", "shown"]

LARGEST = 32 << 20  # bytes; an evaluation of 15,000 relations takes 10 MB
SMALL = 1 << 20
DAMAGED = "the file is damaged or was changed"


def parse(content: bytes, where: str, kind: Kind, advice: str = DAMAGED) -> Any:
    """The checked content of a JSON file.

    Parameters
    ----------
    content
        The file.
    where
        Its path, for messages.
    kind
        What it holds, one of `mulde.schema.contents`.
    advice
        End of the message.

    Raises
    ------
    UsageError
        If it is not JSON, or holds a value of another kind.
    """
    found = load(content, where, advice)
    check(found, where, kind, advice)
    return found


def load(content: bytes, where: str, advice: str = DAMAGED) -> dict[str, Any]:
    """The content of a JSON file that holds a mapping; arguments and errors as for `parse`."""
    try:
        found = from_json(content)
    except ValueError as error:
        raise UsageError(f"{where}: expected JSON, but {error}; {advice}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{where}: expected a mapping in JSON, found a {type(found).__name__}; {advice}")
    return found


def check(content: Any, where: str, kind: Kind, advice: str = DAMAGED) -> None:
    """Raise UsageError if the content of a JSON file is of another kind."""
    try:
        kind.check(content, "")
    except RecursionError:
        raise UsageError(f"{where}: expected JSON, but it is nested too deeply; {advice}") from None
    except Mismatch as error:
        raise UsageError(f"{where}: {error}; {advice}") from error


def read(path: Path, kind: Kind, advice: str = DAMAGED) -> Any:
    """The checked content of a JSON file, or None if there is no file; errors as for `parse`."""
    try:
        content = read_limited(path, LARGEST)
    except FileNotFoundError:
        return None
    return parse(content, str(path), kind, advice)


def read_lines(path: Path, kind: Kind) -> list[dict[str, Any]]:
    """The checked lines of a JSON Lines file that may be growing: up to the first that is incomplete; none if missing.

    Raises
    ------
    UsageError
        If a line holds a value of another kind, with its number.
    """
    try:
        content = read_limited(path, LARGEST)
    except FileNotFoundError:
        return []
    lines = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            break
        check(found, f"{path}, line {number}", kind)
        lines.append(found)
    return lines
