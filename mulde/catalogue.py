"""Names of scorers, methods, graphs and models -> what they name. The folders are the lists; listing imports nothing.

A file belongs to the list when it declares a public class that inherits from `Scorer` (in `mulde/scorers`) or
from `Method` (in `mulde/kge`, `mulde/vision`); its name is the name on the command line. Graphs are the
records in `kge_data/sets`, models the bundles in `mulde/bundles`.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any, Literal, get_args

from mulde import bundles
from mulde.errors import UsageError, unknown
from mulde.files import module_of

Kind = Literal["scorers", "methods", "data", "models"]

ROOT = Path(__file__).resolve().parent.parent
FOLDERS: dict[str, tuple[str, ...]] = {
    "scorers": ("mulde/scorers",),
    "methods": ("mulde/kge", "mulde/vision"),
    "data": ("kge_data/sets",),
}
ANCESTOR = {"scorers": "Scorer", "methods": "Method"}
SINGULAR = {"scorers": "scorer", "methods": "method", "data": "graph", "models": "model"}

PAPER_NAMES = {"transh": "hyperbolic_transe"}
"""Names in the MulDE paper that mean another model elsewhere: TransH of 2014 translates on hyperplanes."""

NOT_LISTED = {"pretrain", "single_teacher", "supervised"}
"""Methods that no verb takes by name: what `mulde train` does, what `mulde distil --method average` does with one
teacher, and the controls of `mulde verify`."""


def names(kind: Kind) -> list[tuple[str, str]]:
    """Names of a kind, sorted, each with the first line of its file's docstring; models with their summary.

    Of methods those that a verb takes.

    Raises UsageError for a kind that does not exist.
    """
    if kind == "models":
        return [(name, bundles.summary(path)) for name, path in bundles.paths().items()]
    return [(name, summary(path)) for name, path in _files(kind).items() if name not in NOT_LISTED]


def find(kind: Kind, name: str) -> Any:
    """The class called `name` (a graph's record for "data", a path for "models"); imports its file only.

    Capitals, hyphens and underscores do not matter: "RotH", "roth", "hyperbolic-transe". A scorer "TransH" is
    the MulDE paper's, `HyperbolicTransE` (see `note`). Raises UsageError with the nearest names.
    """
    files = _files(kind)
    wanted = _plain(name)
    if kind == "scorers":
        wanted = _plain(PAPER_NAMES.get(wanted, wanted))
    for known, path in files.items():
        if _plain(known) == wanted:
            if kind == "models":
                return path
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            return module.RECORD if kind == "data" else getattr(module, declared(path, ANCESTOR[kind])[0])
    raise unknown(SINGULAR[kind], name, files, f"mulde list {kind}")


def from_file(path: Path, name: str) -> Any:
    """What a Python file of the user's calls `name`. The file is run. Raises UsageError where it cannot be had."""
    module = module_of(path)
    if not hasattr(module, name):
        found = ", ".join(declared(path, ANCESTOR["methods"]))
        raise UsageError(
            f"{path} has no function {name}, which makes the method; "
            + (f"add one that returns a {found}" if found else "and no class in it inherits from mulde.Method")
        )
    return getattr(module, name)


def note(kind: Kind, name: str) -> str | None:
    """A sentence for the user where `name` is a paper's word for something called otherwise here."""
    meant = PAPER_NAMES.get(_plain(name)) if kind == "scorers" else None
    return meant and f'"{name}" is taken as the MulDE paper\'s, which is called {meant} here'


def summary(path: Path) -> str:
    """The first line of a file's docstring, without its full stop; empty where there is none."""
    text = ast.get_docstring(_tree(path)) or ""
    return text.split("\n", 1)[0].rstrip(".")


def declared(path: Path, ancestor: str) -> list[str]:
    """Public classes in a file that inherit from `ancestor`; the one with the file's own name comes first."""
    found: list[str] = []
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = {ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases}
            if bases & {ancestor, *found}:
                found.append(node.name)
    return sorted(found, key=lambda name: _plain(name) != _plain(path.stem))


def _files(kind: str) -> dict[str, Path]:
    """Name on the command line -> file, sorted by name."""
    if kind == "models":
        return bundles.paths()
    if kind not in FOLDERS:
        raise UsageError(f'no list called "{kind}"; there are {", ".join(get_args(Kind))}')
    paths = [path for folder in FOLDERS[kind] for path in (ROOT / folder).glob("[!_]*.py")]
    paths.sort(key=lambda path: path.stem)
    if kind == "data":
        return {path.stem.replace("_", "-"): path for path in paths}
    return {path.stem: path for path in paths if declared(path, ANCESTOR[kind])}


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
