"""Quantised bundles: tables as 16-bit floats, or entities as 8-bit integers with one scale per row."""

from __future__ import annotations

from typing import Literal

from mulde.kge.export.bundle import Original, Packed, pack
from mulde.kge.storage.quantisation import Stored

Form = Literal["fp16", "int8"]
STORED: dict[str, Stored] = {"fp16": "float16", "int8": "int8"}


def pack_quantised(original: Original, name: str, form: Form) -> Packed:
    """A bundle of a model with quantised tables, see ``mulde/kge/storage/quantisation.py``."""
    return pack(original, name, STORED[form])
