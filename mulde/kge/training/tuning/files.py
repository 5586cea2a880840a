"""Files of a search besides the study: settings of the best trial, the result as JSON and Markdown, and the picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from mulde.files import utf8, write_atomically
from mulde.kge.training.tuning.picture import picture
from mulde.kge.training.tuning.result import OBJECTIVE, Tuned


def write(result: Tuned, environment: Mapping[str, Any]) -> None:
    """Write settings.yaml, tune.json with the environment, tune.md and tune.svg."""
    settings = yaml.safe_dump(dict(result.settings), sort_keys=False, allow_unicode=True)
    about = {**result.as_dict(), **environment}
    page = f"{result.title}\n\n{OBJECTIVE}\n\n{result.table(markdown=True)}\n\n{result.verdict()}\n"
    contents = {
        "settings.yaml": settings,
        "tune.json": json.dumps(about, indent=2, ensure_ascii=False, default=str) + "\n",
        "tune.md": page,
        "tune.svg": picture(result),
    }
    for name, content in contents.items():
        write_atomically(result.folder / name, utf8(content))
