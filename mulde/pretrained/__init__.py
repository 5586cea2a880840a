"""Models that come with the package: one zip here for each name that `mulde list models` shows.

Made by `mulde pack RUN --dtype float16 --out mulde/pretrained/NAME.zip`; the format is `mulde/kge/storage/bundle.py`.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent


def paths() -> dict[str, Path]:
    """Name -> file, sorted by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.zip"))}


def summary(path: Path) -> str:
    """The line about a model that its bundle holds."""
    with zipfile.ZipFile(path) as file:
        return str(json.loads(file.read("bundle.json"))["summary"])
