"""Threads of the process."""

from __future__ import annotations

import pytest

from mulde.engine import process
from mulde.errors import UsageError


@pytest.mark.parametrize("count", [0, -1])
def test_no_thread_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"threads must be at least 1; got {count}"):
        process.start(count, keep_memory=False)
