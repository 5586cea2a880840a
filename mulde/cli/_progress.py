"""Progress where there is no progress bar: the messages of the logger "mulde" as remarks on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mulde.cli._output import announce


class _Remarks(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        announce(f"  {record.getMessage()}")


@contextmanager
def logged_progress() -> Iterator[None]:
    """Print a line for each evaluation during the block, unless stderr is a terminal, which shows a bar."""
    if sys.stderr.isatty():
        yield
        return
    logger, handler = logging.getLogger("mulde"), _Remarks()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
