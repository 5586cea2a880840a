"""Output of the verbs: results on stdout, as text or JSON, and remarks on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MAIN = int(os.environ.get("RANK", 0)) == 0
"""Whether this process prints: the first one where several train together."""


def show(result: Any, text: str, as_json: bool) -> int:
    """Print a result as JSON or as text; returns the exit code 0."""
    if MAIN:
        print(json.dumps(result, indent=2, ensure_ascii=False, default=str) if as_json else text)
    return 0


def announce(remark: str) -> None:
    """Print a remark to stderr."""
    if MAIN:
        print(f"mulde: {remark}", file=sys.stderr, flush=True)
