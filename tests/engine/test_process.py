"""Threads of the process, and its end with its parent."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import time
from typing import Any

import pytest
import torch

from mulde.engine import process
from mulde.errors import UsageError


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
def test_no_thread_is_refused(count: Any) -> None:
    sentence = f"threads must be a whole number of at least 1; got {count!r}"
    with pytest.raises(UsageError, match=sentence), process.threads(count):
        pass


def test_threads_are_restored_after_the_block_and_after_an_error() -> None:
    before = torch.get_num_threads()
    with process.threads(before + 2):
        assert torch.get_num_threads() == before + 2
        with pytest.raises(ZeroDivisionError), process.threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise ZeroDivisionError
        assert torch.get_num_threads() == before + 2
        with process.threads(None):
            assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


def _start_worker(pipe: int) -> None:
    worker = multiprocessing.get_context("fork").Process(target=_work, args=(pipe,))
    worker.start()
    worker.join()


def _work(pipe: int) -> None:
    process.end_with_parent()
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
