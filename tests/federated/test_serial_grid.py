"""The state of Flower that a grid in this process needs is restored."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("flwr", reason="flwr is not installed")

from mulde.federated import serial_grid as grid


def test_flowers_state_is_restored_also_on_errors() -> None:
    identity = pytest.importorskip("flwr.supercore.task_identity").TaskIdentity
    log = logging.getLogger("flwr")
    level, before = log.level, dict(vars(identity))
    assert level != logging.ERROR
    with grid.in_process():
        assert (identity.task_id, identity.run_id, identity.node_id) == (1, grid.RUN, grid.SERVER)
        assert log.level == logging.ERROR
    assert (log.level, dict(vars(identity))) == (level, before)
    with pytest.raises(KeyError), grid.in_process():
        raise KeyError
    assert (log.level, dict(vars(identity))) == (level, before)
