"""Device, precision and processes of a training, through lightning_fabric; and random states.

Several processes are started from outside (`torchrun --nproc-per-node 2 ...`). Each trains the same method on its part
of the data, and gradients are averaged between backward pass and update.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.files import process_group

PRECISIONS = ("32-true", "64-true", "bf16-mixed", "bf16-true")


class Device:
    """The device of a training, and its place among several processes.

    Parameters
    ----------
    device
        As for :func:`resolved`.
    precision
        One of `PRECISIONS`. "32-true" leaves every tensor in its own dtype, the other "-true" ones convert the method
        and floating point inputs, "-mixed" is autocast.

    Raises
    ------
    UsageError
        If the device or the precision does not exist.
    """

    def __init__(self, device: str = "cpu", precision: str = "32-true") -> None:
        if precision not in PRECISIONS:
            raise UsageError(f'no precision called "{precision}"; choose one of {", ".join(PRECISIONS)}')
        accelerator, _, index = resolved(device).partition(":")

        from lightning_fabric import Fabric  # costs more than a second to import
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment

        group = process_group()
        self._fabric = Fabric(
            accelerator=accelerator,
            devices=[int(index)] if index and accelerator == "cuda" else group.local_size,
            num_nodes=max(1, group.size // group.local_size),
            strategy="ddp" if group.size > 1 else "auto",
            precision=precision,  # type: ignore[arg-type]
            plugins=LightningEnvironment() if group.size == 1 else None,  # not SLURM's, which refuses some jobs
        )
        self._fabric.launch()
        self.precision = precision
        self.processes = self._fabric.world_size
        self.rank = self._fabric.global_rank
        self.is_main = self._fabric.is_global_zero
        self.torch_device = self._fabric.device
        self._dtype = {"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(precision)
        self._batches_stay = self.torch_device.type == "cpu" and self._dtype is None

    def place(self, method: nn.Module) -> None:
        """Move and convert the method in place; every process starts from the values of the first one."""
        method.to(device=self.torch_device, dtype=self._dtype)
        if self.processes > 1:
            for tensor in method.state_dict().values():
                tensor.copy_(self._fabric.broadcast(tensor))

    def move(self, batch: Any) -> Any:
        """The batch with every tensor inside (tuples, lists, dictionaries, dataclasses) on the device."""
        return batch if self._batches_stay else self._moved(batch)

    def _moved(self, item: Any) -> Any:
        if isinstance(item, Tensor):
            dtype = self._dtype if item.is_floating_point() else None
            return item.to(device=self.torch_device, dtype=dtype, non_blocking=True)
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            return type(item)(*map(self._moved, item))
        if isinstance(item, (list, tuple)):
            return type(item)(map(self._moved, item))
        if isinstance(item, dict):
            return {key: self._moved(value) for key, value in item.items()}
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            fields = (field.name for field in dataclasses.fields(item) if field.init)
            return dataclasses.replace(item, **{name: self._moved(getattr(item, name)) for name in fields})
        return item.to(self.torch_device) if hasattr(item, "to") else item

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for computing losses."""
        return self._fabric.autocast()

    def any_process(self, flags: list[bool]) -> list[bool]:
        """For each flag, whether it is True in at least one process."""
        if self.processes == 1:
            return flags
        votes = torch.tensor(flags, dtype=torch.float32, device=self.torch_device)
        return [bool(vote > 0) for vote in self._fabric.all_reduce(votes, reduce_op="sum")]

    def average_gradients(self, parameters: Iterable[nn.Parameter], weight: float = 1.0) -> None:
        """Replace every gradient by the mean over processes of weight times gradient, in place.

        Parameters
        ----------
        parameters
            A missing gradient counts as zero.
        weight
            Weight of this process, see `Batch.weight`.
        """
        if self.processes == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            elif parameter.grad.is_sparse:  # processes touch different rows
                parameter.grad = parameter.grad.to_dense()
            if weight != 1.0:
                parameter.grad.mul_(weight)
            self._fabric.all_reduce(parameter.grad, reduce_op="mean")  # in place

    def from_main(self, value: Any) -> Any:
        """The value of the first process, in every process."""
        return value if self.processes == 1 else self._fabric.broadcast(value)


def resolved(device: str) -> str:
    """The device that a name stands for.

    Parameters
    ----------
    device
        "cpu", "cuda", "cuda:1", "mps", or "auto", see :func:`automatic`. "auto" never takes mps, which has no float64.

    Raises
    ------
    UsageError
        If the device does not exist.
    """
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps", "auto") or (index and (kind == "auto" or not index.isdigit())):
        raise UsageError(f'no device called "{device}"; choose cpu, cuda, cuda:0, mps or auto')
    if kind == "auto":
        return automatic()
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(index or 0) >= found:
        number = "no CUDA device" if not found else f"{found} CUDA device{'s' * (found > 1)}, numbered from 0"
        raise UsageError(f'device is "{device}", but torch finds {number}; use device="{"cuda:0" if found else "cpu"}"')
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError('device is "mps", but torch finds no such device; use device="cpu"')
    return device


def automatic() -> str:
    """The device that "auto" stands for: "cuda" with a CUDA device for each process on this machine, else "cpu"."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return "cuda" if found >= process_group().local_size else "cpu"


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), numpy and Python, the same in every process."""
    torch.manual_seed(seed)
    numpy.random.seed(seed % 2**32)  # noqa: NPY002 - feeds and libraries may draw from it
    random.seed(seed)


def random_state() -> dict[str, Any]:
    """All global random states as tensors and plain containers."""
    kind, keys, *rest = numpy.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    state["numpy"] = (str(kind), numpy.asarray(keys).tolist(), *rest)
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))  # noqa: NPY002
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
