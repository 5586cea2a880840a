"""The small files of a finished run, copied to a folder that can be kept in a repository."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from mulde.errors import UsageError
from mulde.files import write_atomically

OF_THE_RUN = ("summary.json", "summary.md", "settings.yaml")
OF_A_FIT = ("config.json", "record.json", "log.jsonl")
EVALUATIONS = ("test.json", "senior.json", "ensemble.json", "senior.safetensors")  # the gates are few numbers


def record(run: Path, target: Path, overwrite: bool = False) -> None:
    """Copy results, settings, configurations and logs (as .gz) of a run; no models, no checkpoints.

    Every file is written atomically; nothing is written unless all can be. Raises UsageError where the run is
    not finished, or where the target holds a file that differs and ``overwrite`` is not set.
    """
    stages = sorted(path.parent.parent for path in run.glob("**/fit/config.json"))
    unfinished = [str(stage) for stage in stages if not (stage / "fit/record.json").exists()]
    if unfinished or not (run / "summary.json").exists():
        left = ", ".join(unfinished) or run
        raise UsageError(f"{left}: not finished, so there is no record yet; the same command continues it")
    names = [*(f"fit/{name}" for name in OF_A_FIT), *EVALUATIONS]
    sources = [run / name for name in OF_THE_RUN] + [stage / name for stage in stages for name in names]
    contents = dict(_stored(target / path.relative_to(run), path) for path in sources if path.exists())
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
