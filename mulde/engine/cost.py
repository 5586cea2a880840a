"""Counts of what a fit computes: losses, backward passes, and the forward passes of every network.

Methods that pass a batch through a network several times, or train several networks, then show it in their record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Cost:
    """Counts of the training part of one fit, in this process; evaluations are left out.

    Forward passes are counted where a network is called as a module. The networks are the direct children of the
    method, and the members of its lists and dictionaries of modules.
    """

    def __init__(self) -> None:
        self.losses = 0
        """How often the losses were computed."""
        self.backwards = 0
        """Backward passes."""
        self.samples = 0
        """Examples in the batches of `losses`, each counted as often as its losses were computed."""
        self.forwards: dict[str, int] = {}
        """Forward passes of each network."""
        self.forward_samples: dict[str, int] = {}
        """Examples in the forward passes of each network."""
        self._counting = False

    @contextmanager
    def of_losses(self, batch: Any) -> Iterator[None]:
        """Count one computation of the losses of a batch, and the forward passes inside."""
        self.losses += 1
        self.samples += examples(batch)
        self._counting = True
        try:
            yield
        finally:
            self._counting = False

    @contextmanager
    def of_networks(self, method: nn.Module) -> Iterator[None]:
        """Count the forward passes of the networks of a method."""
        handles = [network.register_forward_hook(self._hook(name)) for name, network in _networks(method)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if self._counting:
                self.forwards[name] = self.forwards.get(name, 0) + 1
                self.forward_samples[name] = self.forward_samples.get(name, 0) + examples(inputs)

        return count

    def state_dict(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "losses": self.losses,
            "backwards": self.backwards,
            "samples": self.samples,
            "forwards": dict(self.forwards),
            "forward_samples": dict(self.forward_samples),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from saved counts."""
        self.losses, self.backwards, self.samples = state["losses"], state["backwards"], state["samples"]
        self.forwards, self.forward_samples = dict(state["forwards"]), dict(state["forward_samples"])


def examples(batch: Any) -> int:
    """Number of examples in a batch: its length, or that of the first tensor in it; 0 if it has none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, tuple | list):
        return examples(batch[0]) if batch else 0
    return len(batch) if isinstance(batch, Sized) else 0


def _networks(method: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in method.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from ((f"{name}.{inner}", network) for inner, network in child.named_children())
        else:
            yield name, child
