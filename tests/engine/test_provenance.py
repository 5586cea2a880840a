"""The fingerprint of a network depends on the values of its tensors, not on their memory layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mulde.engine.provenance import fingerprint


def holding(tensor: Tensor) -> nn.Module:
    module = nn.Module()
    module.register_buffer("column", tensor)
    return module


def test_a_column_of_a_table_counts_as_its_values() -> None:
    table = torch.arange(12).view(4, 3)
    assert fingerprint(holding(table[:, 1])) == fingerprint(holding(table[:, 1].contiguous()))
    assert fingerprint(holding(table[:, 1])) != fingerprint(holding(table[:, 2]))
