"""Copies of the small files of a finished run, for a repository."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from mulde.errors import UsageError
from mulde.files import read_json, write_atomically

OF_THE_RUN = ("summary.json", "summary.md", "settings.yaml")
OF_A_FIT = ("config.json", "record.json", "log.jsonl")
EVALUATIONS = ("test.json", "senior.json", "ensemble.json", "senior.safetensors")  # the gates are few numbers


def record(run: Path, target: Path, overwrite: bool = False) -> None:
    """Copy results, settings, configurations and logs (as .gz) of a run; no models, no checkpoints.

    Teachers that are shared with other runs are copied to the folder ``teachers``. Every file is written atomically,
    and nothing is written unless all can be.

    Raises
    ------
    UsageError
        Where the run is not finished, or the target holds a file that differs and ``overwrite`` is not set.
    """
    summary = read_json(run / "summary.json")
    stages = {
        path.parent.parent: path.parent.parent.relative_to(run) for path in sorted(run.glob("**/fit/config.json"))
    }
    for row in (summary or {}).get("rows", ()):
        if row.get("folder", "").startswith(".."):
            stages[run / row["folder"]] = Path("teachers") / Path(row["folder"]).name
    unfinished = [str(stage) for stage in stages if not (stage / "fit/record.json").exists()]
    if unfinished or summary is None:
        left = ", ".join(unfinished) or run
        raise UsageError(f"{left}: not finished, so there is no record yet; the same command continues it")
    names = [*(f"fit/{name}" for name in OF_A_FIT), *EVALUATIONS]
    sources = {run / name: Path(name) for name in OF_THE_RUN}
    sources |= {stage / name: place / name for stage, place in stages.items() for name in names}
    contents = dict(_stored(target / place, path) for path, place in sources.items() if path.exists())
    differing = [path.relative_to(target) for path, content in contents.items() if _differs(path, content)]
    if differing and not overwrite:
        raise UsageError(
            f"{target} holds another record ({differing[0]} differs); name another folder, or add --overwrite"
        )
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)


def _stored(target: Path, source: Path) -> tuple[Path, bytes]:
    """Where and how a file is kept: logs compressed, without a time stamp, so that equal logs stay equal."""
    content = source.read_bytes()
    if source.suffix != ".jsonl":
        return target, content
    return target.with_name(f"{target.name}.gz"), gzip.compress(content, mtime=0)


def _differs(path: Path, content: bytes) -> bool:
    return os.path.lexists(path) and (not path.is_file() or path.read_bytes() != content)
