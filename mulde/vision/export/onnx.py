"""Students in ONNX: pixels, normalised, to logits; compared with torch before they are written.

A batch of any number of images (1 for segmentation), of the size of the training. Inference needs numpy and
onnxruntime: ``preprocessing.json`` says how a picture becomes the input.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mulde.errors import MissingExtra, UsageError
from mulde.storage.format import DESCRIPTION
from mulde.vision.export.packing import Original, Packed, assemble
from mulde.vision.inference.loaded import Loaded
from mulde.vision.inference.onnx_runtime import session
from mulde.vision.inference.transform import Array, Transform
from mulde.vision.storage import bundle
from mulde.vision.storage.student import Student, student_files

TOLERANCE = 1e-3
"""Largest difference from torch's outputs, relative to the largest of a picture where that is above 1."""
COMPARED = 5  # random images, beside the edge cases


@dataclass(frozen=True)
class SessionOutputs:
    """Outputs of an ONNX model in memory, see `mulde.vision.inference.answers.Outputs`."""

    session: Any
    task: str
    classes: tuple[str, ...]
    transform: Transform

    def compute(self, images: Array) -> list[NDArray[Any]]:
        """Outputs for images (b, channels, h, w)."""
        found: list[NDArray[Any]] = self.session.run(None, {"images": np.ascontiguousarray(images)})
        return found


def pack_onnx(original: Original, name: str, threads: int = 1) -> Packed:
    """A bundle of a student in ONNX.

    Raises
    ------
    UsageError
        If a package is missing, the student cannot be exported, or outputs differ from torch's.
    """
    content = to_onnx(original.student)
    refuse_difference(content, original.student, threads)
    return pack_content(original, name, content, "float32", threads)


def pack_content(original: Original, name: str, content: bytes, stored: str, threads: int = 1) -> Packed:
    """A bundle of an ONNX model of a student."""
    metrics = original.measure(outputs_of(content, original.student, threads))
    files = {
        bundle.ONNX: content,
        bundle.PREPROCESSING: preprocessing(original.description),
        DESCRIPTION: student_files(original.student, original.description)[DESCRIPTION],
    }
    return assemble(original, name, bundle.ONNX_KIND, stored, files, metrics)


def to_onnx(student: Student) -> bytes:
    """Content of an ONNX file: ``images`` (b, channels, h, w) -> ``logits`` or ``features``.

    Raises
    ------
    UsageError
        If the extra `export` is not installed, or the student is a detector or has no fixed size of its images.
    """
    if student.task == "detect":
        raise UsageError(
            "there is no ONNX export of detectors, because boxes are chosen in a loop; `mulde pack` makes a bundle, "
            "which mulde.vision.load opens in Python"
        )
    try:
        import onnx
        import onnxscript  # noqa: F401  # needed by torch's exporter
    except ImportError as error:
        raise MissingExtra(f"ONNX needs {error.name}, which is not installed; `pip install mulde[export]`") from error
    if student.size is None:
        raise UsageError("ONNX: expected a student for images of one size, found one for any; train it with size=N")
    single = student.task == "segment"
    example = torch.zeros(1 if single else 2, student.channels, *student.size)
    shapes = {"images": {} if single else {0: torch.export.Dim("batch")}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the exporter about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            program: Any = torch.onnx.export(
                _plain(student),
                (example,),
                input_names=["images"],
                output_names=["features" if student.task == "embed" else "logits"],
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # of the exporter, of many types
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UsageError(f"ONNX: torch cannot export this network ({reason})") from error
    graph = program.model_proto
    _strip(graph)
    onnx.checker.check_model(graph)
    content: bytes = graph.SerializeToString()
    return content


def refuse_difference(content: bytes, student: Student, threads: int = 1) -> None:
    """Raise UsageError if outputs differ from torch's on random, black, white or far too bright images."""
    if not (difference := largest_difference(content, student, threads)) <= TOLERANCE:
        raise UsageError(
            f"the ONNX model's outputs differ by {difference:.1e} from torch's, more than {TOLERANCE:g}; nothing was "
            "written; check that the weights are finite, or report an error of the exporter"
        )


def largest_difference(content: bytes, student: Student, threads: int = 1) -> float:
    """Largest difference from torch's outputs, relative to the largest of a picture where that is above 1."""
    assert student.size is not None
    draw = torch.Generator().manual_seed(0)
    shape = (student.channels, *student.size)
    random = torch.rand(COMPARED, *shape, generator=draw)
    edges = torch.stack([torch.zeros(shape), torch.ones(shape), torch.full(shape, 10.0), (random[0] > 0.5).float()])
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in (student.mean, student.deviation))
    images = (torch.cat([random, edges]) - mean) / deviation
    opened, differences = outputs_of(content, student, threads), [0.0]
    model = _plain(student)
    for batch in images.split(1) if student.task == "segment" else [images, images[:1]]:
        with torch.no_grad():
            expected = model(batch).flatten(1)
        found = torch.from_numpy(opened.compute(batch.numpy())[0]).flatten(1)
        scale = expected.abs().amax(1, keepdim=True).clamp_min(1)
        differences.append(((found - expected).abs() / scale).max().item())
    return float(np.max(differences))  # NaN stays NaN


def outputs_of(content: bytes, student: Student, threads: int = 1) -> SessionOutputs:
    """An ONNX model in the place of a student."""
    given = Transform(student.channels, student.size, student.mean, student.deviation)
    return SessionOutputs(session(content, threads, "the exported model"), student.task, student.classes, given)


def preprocessing(description: Mapping[str, Any]) -> bytes:
    """From a picture to the input of the network, for programs without mulde."""
    given, scale = description["input"], description["normalisation"]
    rows, columns = given["size"]
    content = {
        "steps": [
            "turn the picture upright by its EXIF orientation, and lay transparent parts on white",
            "convert it to " + ("grey (Pillow: L)" if given["channels"] == 1 else "RGB"),
            f"resize it to {columns} columns and {rows} rows (Pillow: Image.Resampling.BOX)",
            "divide the values by 255, subtract mean, divide by deviation, for each channel",
            f"arrange them as float32 (batch, {given['channels']}, {rows}, {columns})",
        ],
        "size": {"rows": rows, "columns": columns},
        "channels": given["channels"],
        "mean": scale["mean"],
        "deviation": scale["deviation"],
        "input": "images",
        "output": "features" if description["task"] == "embed" else "logits",
        "probabilities": "softmax of the logits over axis 1",
        "classes": description["classes"],
    }
    return json.dumps(content, indent=2).encode()


def _plain(student: Student) -> nn.Module:
    return Loaded(student).cpu().eval().requires_grad_(False)


def _strip(graph: Any) -> None:
    """Remove the source locations of operations: paths of this machine."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output):
        del value.metadata_props[:]
