"""A student in an ONNX bundle, computed by ONNX Runtime. Needs numpy, Pillow and onnxruntime, and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError, missing
from mulde.storage import container
from mulde.vision.inference.transform import Array, Transform
from mulde.vision.storage import bundle
from mulde.vision.storage.description import parsed


class OnnxOutputs:
    """Outputs of a student by ONNX Runtime, see `mulde.vision.inference.answers.Outputs`.

    Parameters
    ----------
    place
        ONNX bundle of `mulde export --to onnx`.
    threads
        Processor threads.

    Raises
    ------
    UsageError
        If it is no such bundle, or a file is damaged.
    MissingExtra
        If onnxruntime is not installed.
    """

    def __init__(self, place: Path | str, threads: int = 1) -> None:
        found = bundle.read(Path(place))
        description = parsed(found.file("model.json"), f"{place}/model.json")
        self.task, self.classes = str(description["task"]), tuple(description["classes"])
        self.transform = Transform.of(description)
        self._session = session(found.file(bundle.ONNX), threads, str(place))

    def compute(self, images: Array) -> list[NDArray[Any]]:
        """Outputs for images (b, channels, h, w)."""
        found: list[NDArray[Any]] = self._session.run(None, {"images": np.ascontiguousarray(images)})
        return found


def is_onnx(place: Path) -> bool:
    """Whether a path is an ONNX bundle of a student."""
    if not container.is_bundle(place):
        return False
    return bool(container.read_manifest(place).get("kind") == bundle.ONNX_KIND)


def session(content: bytes, threads: int, where: str) -> Any:
    """An ONNX model as a session on the CPU.

    Raises
    ------
    UsageError
        If it is not an ONNX model.
    MissingExtra
        If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("ONNX models are computed by onnxruntime", "export") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes are not public
        raise UsageError(f"{where}: expected an ONNX model ({str(error).splitlines()[0][:200]})") from error
