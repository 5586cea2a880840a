"""List scorers, methods, graphs or pretrained models, one line each.

The second column of the methods is the command that runs a method: distil (graphs) or ablate (images).

Examples:
    mulde list scorers
    mulde list methods --json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mulde import catalogue
from mulde.config import Positional
from mulde.config.command_line import parse


@dataclass(frozen=True)
class Config:
    """What to list."""

    kind: Positional[catalogue.Kind]
    """scorers, methods, data, or models (those that come with the package)."""
    json: bool = False
    """Print JSON: a list of {"name", "summary"}, for methods also {"verb"}."""


def main(argv: Sequence[str]) -> int:
    config = parse(Config, argv, prog="mulde list", description=__doc__ or "")
    rows = [{"name": name, "summary": summary} for name, summary in catalogue.names(config.kind)]
    if config.kind == "methods":
        verbs = catalogue.verbs_of_methods()
        rows = [{**row, "verb": verbs[row["name"]]} for row in rows if row["name"] in verbs]
    if config.json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        verb = f"{row['verb']:6}  " if "verb" in row else ""
        print(f"{row['name']:{width}}  {verb}{row['summary']}")
    return 0
