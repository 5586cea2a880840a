"""Pack a trained model into one file that needs nothing else: weights, names, known answers, a model card.

Examples:
    mulde pack runs/umls/run/junior
    mulde pack runs/wn18rr/run/junior --dtype float16 --out wn18rr-32.zip
    mulde predict wn18rr-32.zip --head dog --relation hypernym

A bundle is a zip where --out ends in .zip and a folder otherwise. It is opened without unpickling anything, checked
byte by byte, and takes the place of a run folder in every command; the data set is not needed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mulde.cli._bundle import told
from mulde.config.command_line import Positional, parse
from mulde.engine import process
from mulde.files import refuse_existing
from mulde.kge.export.bundle import Original, pack


@dataclass(frozen=True)
class Config:
    """What to pack."""

    model: Positional[Path]
    """Run folder of the model, a bundle, or a name of `mulde list models`."""
    out: Path | None = None
    """The bundle to write, NAME.zip or a folder; by default a zip here, named after graph and dimension."""
    dtype: Literal["float16", "float32"] | None = None
    """Numbers in the bundle; by default those of the model, which come back exactly. float16 halves the file."""
    licence: str | None = None
    """Licence of the data, for the card; known already for published graphs."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: int | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the manifest as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde pack", __doc__ or "")
    process.start(settings.threads)
    original = Original.open(settings.model, settings.data)
    out = settings.out or Path(f"{original.graph.name}-{original.model.config.dim}.zip")
    refuse_existing(out)
    packed = pack(original, out.stem, settings.dtype, settings.licence)
    packed.write(out)
    return told(packed, out, settings.json)
