"""Threads of the process."""

from __future__ import annotations

import pytest
import torch

from mulde.engine import process
from mulde.errors import UsageError


def test_threads_are_restored_also_on_errors() -> None:
    before = torch.get_num_threads()
    with process.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        with process.using_threads(None):
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), process.using_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", [0, -1])
def test_no_thread_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"threads must be at least 1; got {count}"), process.using_threads(count):
        pass
    with pytest.raises(UsageError, match=f"threads must be at least 1; got {count}"):
        process.start(count, keep_memory=False)
