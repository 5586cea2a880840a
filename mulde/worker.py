"""A worker process that does not outlive its parent. Imports nothing slow, because a worker starts with it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading


def end_with_parent() -> None:
    """End this process, started by multiprocessing, as soon as its parent has ended, also if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)  # sys.exit would end this thread only

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
