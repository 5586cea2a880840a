"""Static quantisation of an ONNX model by ONNX Runtime: weights and activations of 8 bits.

Weights have one scale for each output channel. Ranges of activations are those of training pictures.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mulde.errors import MissingExtra, UsageError
from mulde.vision.export.onnx import pack_content, to_onnx
from mulde.vision.export.packing import Original, Packed
from mulde.vision.inference.labelled import labelled

PICTURES = 128
"""Training pictures that the ranges of activations are measured on."""


class _Pictures:
    """Batches for ONNX Runtime's calibration."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def get_next(self) -> dict[str, Any] | None:
        """The next batch; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def pack_static(original: Original, name: str, threads: int = 1) -> Packed:
    """A bundle of a student in ONNX with 8-bit weights and activations.

    Raises
    ------
    UsageError
        If a package is missing, the student cannot be exported, or its training pictures are not found.
    """
    content = to_onnx(original.student)
    train = labelled(original.torch, original.description, original.data, "train").images
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:PICTURES].sort().values
    batches = (train.pixels(row).numpy() for row in rows.split(1))
    return pack_content(original, name, _quantised(content, _Pictures(batches)), "int8", threads)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without ONNX Runtime's advice to prepare the model, which changes nothing in ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _quantised(content: bytes, pictures: _Pictures) -> bytes:
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        missing = f"onnx-int8 needs {error.name}, which is not installed"
        raise MissingExtra(f"{missing}; `pip install mulde[export]`") from error
    reader = type("Reader", (CalibrationDataReader,), {"get_next": lambda self: pictures.get_next()})()
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        target = Path(folder) / "quantised.onnx"
        try:
            quantize_static(
                onnx.load_from_string(content), target, reader, quant_format=QuantFormat.QDQ, per_channel=True,
                weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
            )  # fmt: skip
        except Exception as error:  # of ONNX Runtime, of many types
            raise UsageError(f"onnx-int8: ONNX Runtime cannot quantise this network ({str(error)[:200]})") from error
        return target.read_bytes()
