"""An ONNX file, computed by onnxruntime: `onnx:teacher.onnx`. It can teach, and not learn.

The file has one input of images (b, channels, h, w) and returns logits (b, k). Other outputs are features by their
names: `onnx:teacher.onnx,stages=c2,c3,c4,pooled=pool`; the logits are then the first output that is not named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mulde.errors import UsageError, missing, unknown
from mulde.files import user_path
from mulde.vision.models.own_input import Input
from mulde.vision.models.staged import Features
from mulde.vision.sources._source import Source, Specification, Wanted


class OnnxNetwork(nn.Module):
    """A network in an ONNX file, without parameters and gradients.

    Parameters
    ----------
    path
        The file; weights beside it are found.
    stages, pooled
        Names of outputs.

    Raises
    ------
    UsageError
        If onnxruntime is missing, cannot open the file, or the file has no such outputs.
    """

    def __init__(self, path: Path, stages: Sequence[str] = (), pooled: str = "") -> None:
        super().__init__()
        self.shared = Shared(session := _session(path))
        inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise UsageError(
                f"{path}: expected one input of images (b, channels, h, w), found "
                f"{', '.join(f'{each.name} {each.shape}' for each in inputs)}"
            )
        for name in (*stages, *([pooled] if pooled else [])):
            if name not in outputs:
                raise unknown("output", name, outputs, "onnxruntime.InferenceSession(PATH).get_outputs()")
        self.stages, self.pooled = tuple(stages), pooled
        rest = [name for name in outputs if name not in (*stages, pooled)]
        self.logits = rest[0] if rest else ""
        self.input, self.numpy_type = inputs[0].name, np.float16 if "float16" in inputs[0].type else np.float32
        self.rows, self.channels, *sides = (n if isinstance(n, int) else None for n in inputs[0].shape)
        self.size = None if sides[0] is None or sides[1] is None else (sides[0], sides[1])
        digest = hashlib.sha256(path.read_bytes()).digest()
        self.register_buffer("checksum", torch.frombuffer(bytearray(digest), dtype=torch.uint8))
        self.widths: tuple[int, ...] = ()

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w)."""
        parts = images.split(self.rows or len(images))
        found = [self._run(part) for part in parts]
        values = {name: torch.cat([part[name] for part in found]).to(images.device) for name in found[0]}
        stages = tuple(values[name] for name in self.stages)
        logits = values[self.logits].flatten(1) if self.logits else images.new_empty(len(images), 0)
        if self.pooled:
            pooled = values[self.pooled].flatten(1)
        else:
            pooled = stages[-1].mean((2, 3)) if stages else logits.new_empty(len(logits), 0)
        self.widths = tuple(stage.shape[1] for stage in stages) or ((pooled.shape[1],) if pooled.shape[1] else ())
        return Features(stages, pooled, logits)

    def _run(self, images: Tensor) -> dict[str, Tensor]:
        count, names = len(images), [*self.stages, *filter(None, (self.pooled, self.logits))]
        if self.rows and count < self.rows:  # a file for batches of one size
            images = torch.cat([images, images[-1:].expand(self.rows - count, -1, -1, -1)])
        content = images.detach().cpu().numpy().astype(self.numpy_type)
        try:
            found = self.shared.value.run(names, {self.input: content})
        except Exception as error:  # onnxruntime's errors have no common class
            raise UsageError(f"onnxruntime cannot compute the network: {str(error).splitlines()[0]}") from error
        return {name: torch.from_numpy(value[:count]).float() for name, value in zip(names, found, strict=True)}


class Shared:
    """An object that copies of its owner share: a session holds nothing that changes, and cannot be copied."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Shared:
        return self


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """The network of a file."""
    path = existing(spec)
    if not wanted.trained:
        raise UsageError(f"{wanted.role}: {spec.place} is an ONNX file, which cannot learn; give an nn.Module")
    net = OnnxNetwork(path, spec.options.get("stages", ()), *spec.options.get("pooled", ()))
    return Source(net, Input(net.channels, net.size))


def existing(spec: Specification) -> Path:
    """The file. Raises UsageError if there is none."""
    path = user_path(spec.place)
    if not path.is_file():
        raise UsageError(f"{spec.place}: {path} does not exist; expected an ONNX file")
    return path


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("ONNX files are computed by onnxruntime", "export") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise UsageError(f"{path}: onnxruntime cannot open it: {str(error).splitlines()[0]}") from error
