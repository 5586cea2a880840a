"""The model to use of a whole `mulde run`, whose folder holds several."""

from __future__ import annotations

import os
from pathlib import Path

from mulde import schema
from mulde.schema import contents

SUMMARY, DESCRIPTION, JUNIOR = "summary.json", "model.json", "junior"


def recommended(run: Path) -> Path | None:
    """Folder of the recommended model of a run: the one that its summary names, otherwise its Junior.

    Returns None if the folder is not that of a run: it is a model itself, or has no Junior.
    """
    if not run.is_dir() or (run / DESCRIPTION).exists():
        return None
    summary = schema.read(run / SUMMARY, contents.SUMMARY) or {}
    named = [summary["recommended"]] if "recommended" in summary else []
    places = (Path(os.path.normpath(run / name)) for name in (*named, JUNIOR))
    return next((place for place in places if (place / DESCRIPTION).is_file()), None)
