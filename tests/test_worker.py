"""Workers end with their parent, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import time

import pytest

from mulde import worker


def _start_worker(pipe: int) -> None:
    started = multiprocessing.get_context("fork").Process(target=_work, args=(pipe,))
    started.start()
    started.join()


def _work(pipe: int) -> None:
    worker.end_with_parent()
    os.write(pipe, b"started")
    time.sleep(600)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_when_its_parent_is_killed(number: int) -> None:
    """The pipe is at its end when the last process that can write into it has ended."""
    reader, writer = os.pipe()
    parent = multiprocessing.get_context("fork").Process(target=_start_worker, args=(writer,))
    parent.start()
    os.close(writer)
    assert os.read(reader, 100) == b"started"
    assert parent.pid is not None
    os.kill(parent.pid, number)
    parent.join()
    assert select.select([reader], [], [], 60)[0] and os.read(reader, 100) == b""
    os.close(reader)
