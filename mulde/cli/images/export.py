"""Export a student to another format, and measure the loss of quality and the latency.

Examples:
    mulde export runs/small --to onnx --out small-onnx.zip
    mulde export runs/small --to int8 --out small.zip --max-loss 0.005
    mulde export runs/small --to onnx-int8 --out fast.zip --data folder:photos
    mulde predict small-onnx.zip photo.jpg      needs numpy, Pillow and onnxruntime

Formats:
    fp16, int8      a bundle with weights of 16 or 8 bits, which every command
                    opens; 8-bit weights have one scale for each output channel
    onnx            a bundle with an ONNX model, compared with torch, and
                    preprocessing.json, which says how a picture becomes its
                    input
    onnx-int8       the same with weights and activations of 8 bits, whose
                    ranges are measured on training pictures

The student is evaluated on valid and test before and after the export, if its data are found. A bundle that loses more
than --max-loss of the first metric on valid is not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mulde.cli._output import announce
from mulde.cli.images._student import opened
from mulde.cli.images.pack import print_packed
from mulde.config import Threads
from mulde.config.command_line import Positional, parse
from mulde.files import refuse_existing

if TYPE_CHECKING:
    from mulde.vision.export.packing import Original, Packed

FIRST = ("model", "to", "out", "max_loss", "latency", "data", "network", "threads", "json")
STORED: dict[str, Literal["float16", "int8"]] = {"fp16": "float16", "int8": "int8"}


@dataclass(frozen=True)
class Config:
    """What to export, and to which format."""

    model: Positional[Path]
    """Run folder or bundle of an image method."""
    to: Literal["fp16", "int8", "onnx", "onnx-int8"]
    """Format of the export; --help-all describes each."""
    out: Path
    """Path of the bundle: a zip if it ends in .zip, otherwise a new folder."""
    max_loss: float = 0.01
    """Largest loss of the first metric on valid; a bundle that loses more is not written."""
    latency: bool = True
    """Measure the latency of single pictures."""
    data: str | None = None
    """Labelled images; by default those of the training."""
    network: str | None = None
    """The network, if it is one of your own: file.py:function or module:function."""
    threads: Threads = 1
    """Processor threads."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde export", __doc__ or "", first=FIRST)
    refuse_existing(settings.out)
    with opened(settings.model, settings.network, "cpu", settings.threads) as (student, description, _):
        from mulde.vision.export.packing import Original

        original = Original(settings.model, student, description, settings.data, announce)
        packed = _packed(original, settings)
        packed.refuse_above(settings.max_loss)
        times = _latency(original, packed, settings.threads) if settings.latency else []
        packed.write(settings.out)
    return print_packed(packed, settings.out, settings.json, times)


def _packed(original: Original, settings: Config) -> Packed:
    name = settings.out.stem
    if settings.to == "fp16" or settings.to == "int8":
        from mulde.vision.export.packing import pack

        return pack(original, name, STORED[settings.to])
    if settings.to == "onnx":
        from mulde.vision.export.onnx import pack_onnx

        return pack_onnx(original, name, settings.threads)
    from mulde.vision.export.static import pack_static

    return pack_static(original, name, settings.threads)


def _latency(original: Original, packed: Packed, threads: int) -> list[dict[str, Any]]:
    """Latency by torch and, of an ONNX bundle, by ONNX Runtime."""
    from mulde.vision.export.latency import latency_rows
    from mulde.vision.inference.answers import Outputs
    from mulde.vision.inference.loaded import TorchOutputs

    engines: dict[str, Outputs] = {"torch": TorchOutputs(original.student)}
    if "model.onnx" in packed.files:
        from mulde.vision.export.onnx import outputs_of

        label = "ONNX Runtime" + (", int8" if packed.manifest["stored"] == "int8" else "")
        engines[label] = outputs_of(packed.files["model.onnx"], original.student, threads)
    return latency_rows(engines)
