"""The kind of a stored model, which decides what a verb does with it. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from kge_data.files import from_json
from kge_data.regular_files import read_limited
from mulde.errors import UsageError

Kind = Literal["graph", "images"]
LARGEST = 4 << 20  # bytes of a description


def kind_of(path: Path) -> Kind | None:
    """ "images" for a run folder or bundle of an image method, "graph" for other models, None where there is no model.

    A damaged file is no reason to stop here; the verb reads it again and explains it.
    """
    from mulde.storage import container  # only for files that exist, because `mulde --help` should be fast

    try:
        if not path.exists():
            return None
        if (path / "model.json").is_file():
            found = from_json(read_limited(path / "model.json", LARGEST))
        elif container.is_bundle(path):
            found = container.read_manifest(path)
        else:
            return None
    except (UsageError, OSError, ValueError):
        return None
    kind = found.get("kind") if isinstance(found, dict) else None
    return "images" if isinstance(kind, str) and kind.startswith("images") else "graph"
