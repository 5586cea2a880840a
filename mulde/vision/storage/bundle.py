"""Bundles of students: one student with its card, in a folder or a zip. Imports no torch.

    bundle.json                     the manifest: kind, summary, metrics, size and SHA-256 of every other file
    model.json                      the description
    model.safetensors               weights, possibly of 16 or 8 bits; or model.onnx
    preprocessing.json              beside model.onnx: from a picture to the input of the network
    README.md                       the model card

The manifest adds to that of every bundle (`mulde.storage.container`) ``kind`` ("images" or "images-onnx"), ``stored``
(precision of the weights), ``metrics`` by part, as measured on the content of the bundle, and ``metrics_before``, those
of the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mulde import schema
from mulde.errors import UsageError
from mulde.schema import contents
from mulde.storage import container
from mulde.storage.archive import Checked
from mulde.storage.container import CARD, Container, Contents
from mulde.storage.format import DESCRIPTION, WEIGHTS

ONNX, PREPROCESSING = "model.onnx", "preprocessing.json"
KIND, ONNX_KIND = "images", "images-onnx"
REQUIRED = {KIND: (CARD, DESCRIPTION, WEIGHTS), ONNX_KIND: (CARD, DESCRIPTION, ONNX, PREPROCESSING)}


class StudentBundle(Container):
    """A checked bundle of a student."""

    def advice(self) -> str:
        """What to do with a bundle of the other kind."""
        if self.manifest["kind"] == ONNX_KIND:
            takes = "which only `mulde predict` and `mulde evaluate` take"
            return f"; it holds an ONNX model, {takes}; give the original student"
        return "; `mulde export --to onnx` makes a bundle with an ONNX model"


def read(place: Path) -> StudentBundle:
    """Read the manifest of a bundle and check all its files.

    Raises
    ------
    UsageError
        If the path is no bundle of a student, the format is another one, or a file differs from its checksum.
    """
    if not place.exists():
        raise UsageError(f"{place}: no such folder or file; expected a bundle of `mulde pack`")
    return StudentBundle(place, container.read(place, Contents(contents.IMAGES_MANIFEST, _required, _refuse)))


def _required(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return REQUIRED[manifest["kind"]]


def _refuse(where: str, name: str, stream: Checked, manifest: Mapping[str, Any]) -> None:
    if name in (DESCRIPTION, PREPROCESSING):
        stream.refuse_above(schema.SMALL)
