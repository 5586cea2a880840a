"""Names and paths that come from people, files or the environment."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from kge_data.errors import UsageError


def user_path(text: Path | str) -> Path:
    """A path with ~ replaced by the home directory; unchanged where that is unknown, as for a user without an entry."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def file_name(graph: str) -> str:
    """The name of a graph as the name of a file or folder.

    Raises
    ------
    UsageError
        If it is a path, or cannot be one.
    """
    if PureWindowsPath(graph).name != graph or graph in ("", "..") or not graph.isprintable():
        raise UsageError(
            f"the graph is called {graph!r}, which cannot be the name of a file or folder; say where to write the "
            "result with --out (folder= in Python)"
        )
    return graph
