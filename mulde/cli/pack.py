"""Pack a model into one bundle with names, known triples and model card.

Examples:
    mulde pack runs/umls/junior
    mulde pack runs/wn18rr/junior --dtype float16 --out wn18rr-32.zip
    mulde pack runs/umls/junior --without-triples --out umls.zip
    mulde predict wn18rr-32.zip --head dog --relation hypernym

A bundle is a zip if --out ends in .zip, otherwise a folder. Checksums are verified when it is opened, and it contains
no pickles. Every command accepts it in place of a run folder, without the data set: it contains the names of entities
and relations, the triples of all splits, and calibrated probabilities if there are validation triples.

A student of an image method has other options: `mulde pack RUN --help` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mulde.cli._output import announce
from mulde.config import Size, Threads
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError
from mulde.files import file_name, refuse_existing

FIRST = ("model", "out", "dtype", "without_triples", "rules", "licence", "data", "threads", "json")


@dataclass(frozen=True)
class Config:
    """What to pack."""

    model: Positional[Path]
    """Run folder, bundle, or name of a pretrained model (`mulde list models`)."""
    out: Path | None = None
    """Path of the bundle, NAME.zip or a folder; by default a zip in this folder, named after graph and dimension."""
    dtype: Literal["float16", "float32"] | None = None
    """Precision of the embeddings, float16 or float32; by default that of the model. float16 halves the file."""
    without_triples: bool = False
    """Leave out the triples of the graph. The bundle then has no graph prior, does not filter known answers, and is
    evaluated with --data only."""
    rules: bool = False
    """Include the rules of the graph, which `mulde explain` uses; they are mined if they have not been."""
    types: Path | None = None
    """File of lines `entity TAB type`, to be kept in the bundle for `mulde predict --type`."""
    licence: str | None = None
    """Licence of the data, for the model card, if it is not a published graph."""
    dim: Size | None = None
    """One of the sizes of a model that was trained with --dims; by default the bundle
    has all of them."""
    data: str | None = None
    """The graph the model was trained on, if the model's folder does not contain it."""
    threads: Threads | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the manifest as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde pack", __doc__ or "", first=FIRST)
    from mulde.engine import process

    process.start()
    with process.threads(settings.threads):
        return _packed(settings)


def _packed(settings: Config) -> int:
    from mulde.cli._bundle import print_packed
    from mulde.cli._model import chosen
    from mulde.kge.export.bundle import Original, pack

    if settings.rules and settings.without_triples:
        raise UsageError("--rules and --without-triples exclude each other: an explanation needs the triples; drop one")
    original = Original.open(
        chosen(settings.model),
        settings.data,
        dim=settings.dim,
        triples=not settings.without_triples,
        types=settings.types,
        tell=announce,
    )
    out = settings.out or Path(f"{file_name(original.graph.name)}-{original.model.config.dim}.zip")
    refuse_existing(out)
    rules = None
    if settings.rules:
        from mulde.kge.rules.storage import rules_of

        rules = rules_of(original.graph, original.place, None, announce)
    packed = pack(original, out.stem, settings.dtype, settings.licence, rules)
    packed.write(out)
    return print_packed(packed, out, settings.json)
