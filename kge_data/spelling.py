"""Names of graphs, scorers, methods and other choices: capitals, hyphens, underscores and spaces do not matter."""

from __future__ import annotations

from collections.abc import Iterable


def plain(name: str) -> str:
    """The letters and digits that decide whether two spellings are the same name."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")


def spelled_as(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one is another spelling of; None if there is none."""
    wanted = plain(name)
    return next((each for each in known if plain(each) == wanted), None)
