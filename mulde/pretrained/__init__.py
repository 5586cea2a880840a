"""Pretrained models: one bundle in this folder for each name of `mulde list models`.

Made by `mulde pack RUN --dtype float16 --out mulde/pretrained/NAME.zip`; see ``mulde/kge/storage/bundle.py``.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent


def paths() -> dict[str, Path]:
    """Name of a model -> its bundle, sorted by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.zip"))}


def summary(path: Path) -> str:
    """Summary of a model, from its bundle."""
    with zipfile.ZipFile(path) as file:
        return str(json.loads(file.read("bundle.json"))["summary"])
