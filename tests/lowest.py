"""Prints constraints for pip: the lowest release that pyproject.toml allows of every dependency. For `make lowest`.

torch keeps the release of constraints.txt, because older ones come with gigabytes of CUDA libraries.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = "torch"

project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
requirements = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
lowest = {found[1]: found[2] for text in requirements if (found := re.match(r"([\w.-]+)>=([\w.]+)", text))}
pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
for name, version in (lowest | {KEPT: pinned[KEPT]}).items():
    print(f"{name}=={version}")
