"""Output of the verbs: results on stdout, as text or JSON, and remarks and errors on stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kge_data.files.process_group import process_group
from kge_data.printing import json_text, printable
from mulde.errors import UsageError


def prints() -> bool:
    """Whether this process prints results and remarks: the first one where several train together."""
    return process_group().rank == 0


def show(result: Any, text: str, as_json: bool) -> int:
    """Print a result as JSON or as text; returns the exit code 0."""
    if prints():
        print(json_text(result) if as_json else printable(text))
    return 0


def refuse_page(out: Path, overwrite: bool) -> None:
    """Raise UsageError where a report cannot be written, or would replace a file."""
    if not out.parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.parent}; make it, or name another --out")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; name another --out, or add --overwrite")


def announce(remark: str) -> None:
    """Print a remark to stderr."""
    if prints():
        print_error(remark)


def print_error(sentence: str) -> None:
    """Print the sentence of an error to stderr, in every process."""
    print(f"mulde: {printable(sentence)}", file=sys.stderr, flush=True)
