"""Show the scorers, methods, graphs or models there are, one line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mulde import catalogue
from mulde.config.command_line import Positional, parse


@dataclass(frozen=True)
class Config:
    """What to list."""

    kind: Positional[catalogue.Kind]
    """scorers, methods, data or models (those that come with the package)."""
    json: bool = False
    """Print JSON: a list of {"name", "summary"}."""


def main(argv: Sequence[str]) -> int:
    config = parse(Config, argv, prog="mulde list", description=__doc__)
    entries = catalogue.names(config.kind)
    if config.json:
        print(json.dumps([{"name": name, "summary": summary} for name, summary in entries], ensure_ascii=False))
        return 0
    width = max((len(name) for name, _ in entries), default=0)
    for name, summary in entries:
        print(f"{name:{width}}  {summary}")
    return 0
