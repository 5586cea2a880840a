"""What the verbs print: results on stdout, as text or JSON, and remarks on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any


def show(result: Any, text: str, as_json: bool) -> int:
    """Print a result as JSON or as text; exit code 0."""
    print(json.dumps(result, indent=2, ensure_ascii=False, default=str) if as_json else text)
    return 0


def announce(remark: str) -> None:
    """A remark beside the result."""
    print(f"mulde: {remark}", file=sys.stderr, flush=True)
