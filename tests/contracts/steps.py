"""The steps in which commands write, and what may happen at one: an error of the disk, Ctrl-C, a kill, another command.

A step is one call in the module of files that forces a file or the names in a folder to disk, or one line that is
appended to a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kge_data.files import writing, writing_to

RANDOM = re.compile(r"\.\d+-[0-9a-f]{16}\.partial")
LOGS = ("mulde.engine.record.writing_to", "mulde.kge.training.tuning.journal.writing_to")


@contextmanager
def at_each_step(call: Callable[[str], object]) -> Iterator[None]:
    """Call a function with the name of every step of the block, before it: "file PATH", "names FOLDER", "log PATH"."""

    def before(kind: str, function: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def disturbed(path: Path) -> Any:
            call(_name(kind, path))
            return function(path)

        return disturbed

    @contextmanager
    def appending(path: Path) -> Iterator[None]:
        with writing_to(path):
            call(_name("log", path))
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "_sync", before("file", writing._sync))
        patch.setattr(writing, "_sync_names", before("names", writing._sync_names))
        for place in LOGS:
            patch.setattr(place, appending)
        yield


def _name(kind: str, path: Path) -> str:
    """The kind of a step, and its path as it is when the step is done."""
    path, here = path.absolute(), Path.cwd()
    path = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{kind} {RANDOM.sub('', path.as_posix())}"
