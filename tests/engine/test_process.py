"""Threads of the process, and its end."""

from __future__ import annotations

import atexit
import gc
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


def test_the_end_does_not_search_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = list[Any]()
    monkeypatch.setattr(atexit, "register", registered.append)
    process.start(keep_memory=False)
    assert registered == [gc.freeze]
