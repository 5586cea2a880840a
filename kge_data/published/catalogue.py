"""The catalogue of published graphs: their names, records and folders."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
from pathlib import Path

from kge_data.errors import UnknownName
from kge_data.published.record import PublishedSet
from kge_data.spelling import spelled_as

SETS = Path(__file__).resolve().parents[1] / "sets"


def names() -> list[str]:
    """The names of all published graphs: the files in the folder `kge_data/sets`, which are not imported."""
    return sorted(path.stem.replace("_", "-") for path in SETS.glob("[!_]*.py"))


def has(name: str) -> bool:
    """Whether a published graph has this name; capitals, hyphens and underscores do not matter."""
    return spelled_as(name, names()) is not None


def record(name: str) -> PublishedSet:
    """The record of a published graph.

    Raises
    ------
    UnknownName
        If there is no such graph.
    """
    own = spelled_as(name, names())
    if own is None:
        raise unknown(name)
    module = importlib.import_module(f"kge_data.sets.{own.replace('-', '_')}")
    found: PublishedSet = module.RECORD
    return found


def notice(name: str) -> str:
    """The notice that the licence of a published graph requires with every copy; empty if it requires none."""
    own = spelled_as(name, names()) or name
    path = SETS / f"{own.replace('-', '_')}.notice.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def unknown(name: str) -> UnknownName:
    """The error for a name that is neither a graph nor a path."""
    near = difflib.get_close_matches(name.lower(), names(), n=3) or names()
    return UnknownName(
        f'no graph is called "{name}", and there is no such file or folder; nearest: {", ".join(near)}; '
        f"all are listed by `python -m kge_data list`."
    )


def local_folder(published: PublishedSet, root: str | os.PathLike[str] | None) -> Path | None:
    """The folder of a graph below `root`, below KGE_DATA_HOME, or in an installed package; None if there is none."""
    homes = [Path(home) for home in (root, os.environ.get("KGE_DATA_HOME")) if home]
    places = [home / published.folder for home in homes]
    if published.package:
        package, inside = published.package
        found = importlib.util.find_spec(package)  # locates a top-level package without importing it
        places += [Path(place) / inside for place in (found and found.submodule_search_locations) or ()]
    return next((place for place in places if place.is_dir()), None)
