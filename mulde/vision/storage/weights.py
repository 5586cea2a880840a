"""Weights of image networks in safetensors files; sizes are compared before a network is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mulde import schema
from mulde.errors import UsageError
from mulde.storage.archive import Checked
from mulde.storage.filling import fill
from mulde.storage.header import BYTES, Table, read_header
from mulde.vision.models.architecture import architecture_of, own
from mulde.vision.models.rebuilding import rebuild

MOST_AXES = 8


def stored_tables(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a network on the CPU, in types that files have; none shares memory with another."""
    return {name: _storable(value.detach().cpu()).clone().contiguous() for name, value in network.state_dict().items()}


def stored_architecture(network: nn.Module) -> dict[str, Any]:
    """The architecture of a network, if it can be made again from it; otherwise the name of its class."""
    found = architecture_of(network)
    try:
        same = _shapes(found, None) == {name: value.shape for name, value in network.state_dict().items()}
    except UsageError:  # a network of the user's, or one around it
        return found
    return found if same else own(network)


def read_network(architecture: Mapping[str, Any], stream: Checked, given: nn.Module | None, where: str) -> nn.Module:
    """A network with the weights in a file.

    Parameters
    ----------
    architecture
        As in ``model.json``.
    given
        A network of the user's, which gets the weights where the architecture needs it.

    Raises
    ------
    UsageError
        If the tables are not those of such a network.
    """
    tables = read_header(stream, where, BYTES, MOST_AXES)
    _refuse_other_tables(tables, _shapes(architecture, given), where)
    with torch.random.fork_rng(devices=[]):  # new weights are drawn, and replaced below
        network = rebuild(architecture, given)
    targets = network.state_dict()
    for table in tables:
        target = targets[table.name]
        values = torch.empty(table.shape, dtype=target.dtype)
        fill(values.view(-1), table, stream, where)
        target.copy_(values)
    return network


def _storable(value: Tensor) -> Tensor:
    if value.dtype == torch.bfloat16:
        return value.float()
    whole = not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool
    return value.long() if whole else value


def _shapes(architecture: Mapping[str, Any], given: nn.Module | None) -> dict[str, torch.Size]:
    """Shapes of the tables of a network; none is made."""
    with torch.device("meta"):
        network = rebuild(architecture, given)
    return {name: value.shape for name, value in network.state_dict().items()}


def _refuse_other_tables(tables: list[Table], expected: Mapping[str, torch.Size], where: str) -> None:
    found = {table.name: table.shape for table in tables}
    for name in sorted({*found, *expected}):
        if found.get(name) != (None if name not in expected else tuple(expected[name])):
            raise UsageError(
                f"{where}: not the weights of this network: expected "
                f"{_shown(expected.get(name))} called {schema.shown(name)}, found {_shown(found.get(name))}; "
                f"{schema.DAMAGED}"
            )


def _shown(shape: tuple[int, ...] | None) -> str:
    return "no table" if shape is None else f"a table of shape {list(shape)}"
