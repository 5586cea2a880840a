"""Random checkpoints of a small width, as the public ones are saved."""

from __future__ import annotations

from pathlib import Path

import torch

from mulde.ultra.network import Ultra


def random_network(dim: int = 6, depth: int = 3) -> Ultra:
    """A network with random parameters, those of the normalisation too."""
    torch.manual_seed(0)
    network = Ultra(dim, depth, depth)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network.eval().requires_grad_(False)


def save(path: Path, dim: int = 6, depth: int = 3) -> Path:
    """Write such a network into a file."""
    torch.save({"model": random_network(dim, depth).state_dict(), "optimizer": {}}, path)
    return path
