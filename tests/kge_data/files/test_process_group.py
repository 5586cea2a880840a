"""Only complete variables of torchrun make a process one of several."""

from __future__ import annotations

import pytest

from kge_data.files.process_group import VARIABLES, ProcessGroup, process_group

SECOND = dict(zip(VARIABLES, ("1", "4", "1", "2", "127.0.0.1", "29500"), strict=True))


@pytest.mark.parametrize(
    ("changes", "group"),
    [
        ({}, ProcessGroup(1, 4, 2)),
        *(({name: ""}, ProcessGroup()) for name in VARIABLES),
        *(({name: "x"}, ProcessGroup()) for name in VARIABLES[:4]),
        ({"RANK": "-1"}, ProcessGroup()),
        ({"RANK": "4"}, ProcessGroup()),
        ({"LOCAL_WORLD_SIZE": "0"}, ProcessGroup()),
    ],
)
def test_the_group(changes: dict[str, str], group: ProcessGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECOND | changes).items():
        monkeypatch.setenv(name, value)
    assert process_group() == group
